"""One mistake, one sentence: by gRPC, as a call and in a stream, by REST as JSON and as a form, and by WebSocket.

By the Open Inference Protocol too, on both transports, where only the fields have other names.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.http.conftest import BothTransports
from tests.http.test_rest import SET, body
from tests.http.test_stream import stream
from tests.rpc.conftest import jpeg
from tests.rpc.test_oip import Client, infer, refused
from tta_service.wire.json_mapping import parse_json
from tta_service.wire.oip.tensors import join_bytes
from tta_service.wire.v1 import open_inference_pb2 as oip
from tta_service.wire.v1 import tta_pb2 as pb

MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("labels.label_set.names[1]", {"labels": {"label_set": {"names": ["cat", "cat"]}}}),
    ("labels.label_set.names", {"labels": {"label_set": {"names": []}}}),
    ("labels.label_set.templates[0]", {"labels": {"label_set": {"names": ["cat"], "templates": ["no place"]}}}),
    ("labels.label_set.names[0]", {"labels": {"label_set": {"names": ["x" * 300, "cat"]}}}),
    ("labels.id", {"labels": {"id": "nosuch"}}),
    ("options.strategy.name", {"options": {"strategy": {"name": "nosuch"}}}),
    (
        "options.strategy.parameters.capacity",
        {"options": {"strategy": {"name": "tda", "parameters": {"capacity": -1}}}},
    ),
    ("options.top_k", {"options": {"top_k": 0}}),
    ("options.reduction.reducer.name", {"options": {"reduction": {"reducer": {"name": "nosuch"}}}}),
    ("image.encoded", {"image": {"encoded": base64.b64encode(b"no picture").decode()}}),
    ("image.encoded", {"image": {"encoded": base64.b64encode(jpeg()[:100]).decode()}}),
]


def plain(sentence: str) -> str:
    """Without the message of a stream that the field is in."""
    return sentence.removeprefix("frame.").removeprefix("open.")


async def by_grpc(both: BothTransports, given: dict[str, Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await both.rpc.stub.Classify(parse_json(pb.ClassifyRequest, json.dumps(given)))
    return str(refused.value.details())


async def by_stream(both: BothTransports, given: dict[str, Any]) -> str:
    async def messages() -> AsyncIterator[Any]:
        for message in ({"open": {"labels": SET}}, {"frame": {**given, "frame_id": 1}}):
            yield parse_json(pb.ClassifyStreamRequest, json.dumps(message))

    replies = [reply async for reply in both.rpc.stub.ClassifyStream(messages())]
    return next(plain(reply.error.status.message) for reply in replies if reply.HasField("error"))


async def by_json(both: BothTransports, given: dict[str, Any]) -> str:
    return (await both.http.post("/v1/classify", json=given)).json()["detail"]


async def by_form(both: BothTransports, given: dict[str, Any]) -> str:
    fields = {name: json.dumps(given[name]) for name in ("labels", "options") if name in given}
    picture = base64.b64decode(given["image"]["encoded"])
    return (await both.http.post("/v1/classify", files={"image": picture}, data=fields)).json()["detail"]


async def by_web_socket(both: BothTransports, given: dict[str, Any]) -> str:
    async with stream(both) as socket:
        await socket.send(json.dumps({"frame": {**given, "frame_id": 1}}))
        while True:
            reply = json.loads(await socket.recv())
            if "error" in reply:
                return plain(reply["error"]["status"]["message"])


def inference(given: dict[str, Any]) -> oip.ModelInferRequest:
    """The same question to the model `tta`."""
    options, labels, parameters = given.get("options", {}), given["labels"], dict[str, Any]()
    chosen = {"strategy": options.get("strategy", {}), "reducer": options.get("reduction", {}).get("reducer", {})}
    for kind, choice in chosen.items():
        parameters |= {kind: choice["name"]} if choice else {}
        parameters |= {f"{kind}.{name}": value for name, value in choice.get("parameters", {}).items()}
    parameters |= {"top_k": options["top_k"]} if "top_k" in options else {}
    parameters |= {"label_set": labels["id"]} if "id" in labels else {}
    names = labels.get("label_set", {}).get("names", [])
    for template in labels.get("label_set", {}).get("templates", []):
        parameters["template"] = template
    message = infer("tta", base64.b64decode(given["image"]["encoded"]), **parameters)
    del message.parameters["labels"]
    if names:
        message.inputs.add(name="labels", datatype="BYTES", shape=[len(names)])
        message.raw_input_contents.append(join_bytes(name.encode() for name in names))
    return message


async def by_oip(both: BothTransports, given: dict[str, Any]) -> str:
    return (await refused(Client(both.rpc.channel).ModelInfer(inference(given))))[1]


async def by_oip_on_http(both: BothTransports, given: dict[str, Any]) -> str:
    message = inference(given)
    tensors = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.shape),
            "parameters": {"binary_data_size": len(raw)},
        }
        for one, raw in zip(message.inputs, message.raw_input_contents)
    ]
    values = {name: getattr(one, str(one.WhichOneof("parameter_choice"))) for name, one in message.parameters.items()}
    head = json.dumps({"inputs": tensors, "parameters": values}).encode()
    content = b"".join((head, *message.raw_input_contents))
    headers = {"inference-header-content-length": str(len(head))}
    return (await both.http.post("/v2/models/tta/infer", content=content, headers=headers)).json()["error"]


@pytest.mark.parametrize(("field", "change"), MISTAKES, ids=lambda given: given if isinstance(given, str) else "")
async def test_a_mistake_has_one_sentence_at_every_door(both: BothTransports, field: str, change: dict[str, Any]):
    given = body(**change)
    sentences = [await ask(both, given) for ask in (by_grpc, by_stream, by_json, by_form, by_web_socket)]
    assert len(set(sentences)) == 1, sentences
    assert sentences[0].startswith(f"{field}: ")
    assert not sentences[0].startswith(f"{field}: {field.rpartition('.')[2]}: ")
    if given["labels"].get("label_set", {}).get("names") == []:
        return  # a tensor has at least one element
    others = [await ask(both, given) for ask in (by_oip, by_oip_on_http)]
    assert len(set(others)) == 1, others
    assert others[0].partition(": ")[2] == sentences[0].partition(": ")[2]


async def test_parameters_without_end_have_one_sentence_too(both: BothTransports):
    nulls = {"a": [None] * 100_000}
    given = body(options={"strategy": {"name": "tda", "parameters": nulls}})
    message = parse_json(pb.ClassifyRequest, json.dumps(body(options={"strategy": {"name": "tda"}})))
    message.options.strategy.parameters.update(nulls)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await both.rpc.stub.Classify(message)
    said = await by_json(both, given)
    assert said == refused.value.details() and said.startswith("options.strategy.parameters: ")
    async with stream(both) as socket:
        await socket.send(json.dumps({"frame": {**given, "frame_id": 1}}))
        async for reply in socket:
            if "problem" in (ended := json.loads(reply)):
                break
    assert plain(ended["problem"]["detail"]) == said


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1" * 5000, "a number in this JSON has more than 4300 digits"),
        (r'"\ud800"', "this text is no valid Unicode: it has half of a surrogate pair"),
    ],
    ids=["digits", "half a character"],
)
async def test_json_that_no_message_holds_has_one_sentence(both: BothTransports, value: str, sentence: str):
    text, as_json = f'{{"parameters": {{"a": {value}}}}}', {"content-type": "application/json"}
    sentences = [
        (await both.http.post("/v1/classify", content=text, headers=as_json)).json()["detail"],
        (await both.http.post("/v1/classify", files={"image": jpeg()}, data={"options": text})).json()["detail"],
        (await both.http.post("/v2/models/tta/infer", content=text)).json()["error"],
    ]
    for message in (f'{{"frame": {text}}}', len(text).to_bytes(4, "big") + text.encode()):
        async with stream(both) as socket:
            await socket.send(message)
            ended = await anext(reply async for reply in socket if "problem" in json.loads(reply))
            sentences.append(json.loads(ended)["problem"]["detail"])
    assert all(one.endswith(sentence) for one in sentences), sentences


async def test_a_number_that_is_none_has_one_sentence_in_texts_too(both: BothTransports):
    message = parse_json(pb.ClassifyRequest, json.dumps(body(options={"strategy": {"name": "zero"}})))
    message.options.strategy.parameters["agreement"] = math.nan
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await both.rpc.stub.Classify(message)
    sentence = "options.strategy.parameters.agreement: input should be a finite number, got nan"
    assert refused.value.details() == sentence
    for text in ("nan", "NaN"):
        fields = {"labels": json.dumps(SET), "options.strategy.name": "zero"}
        fields["options.strategy.parameters.agreement"] = text
        reply = await both.http.post("/v1/classify", files={"image": jpeg()}, data=fields)
        assert reply.json()["detail"] == sentence
