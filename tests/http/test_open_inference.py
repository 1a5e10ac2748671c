"""The Open Inference Protocol by HTTP: JSON and bytes, compressed or not, and errors in its own form."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.http.conftest import BothTransports, open_transports
from tests.http.test_security import raw
from tests.rpc.conftest import busy, jpeg, options, question, until
from tests.rpc.test_oip import Client, infer, refused
from tests.wire.test_keys import add
from tta_service.core.events import Refused, Responded
from tta_service.http.bodies import BodyBudget
from tta_service.methods.oip_status import REFUSED
from tta_service.wire.identity import Identity
from tta_service.wire.keys import KeyFile, Role
from tta_service.wire.oip.tensors import join_bytes, split_bytes
from tta_service.wire.v1 import open_inference_pb2 as oip

LENGTH = "inference-header-content-length"
NAMES = {"labels": "cat,dog,car"}


def in_json(picture: bytes | None = None, **more: Any) -> dict[str, Any]:
    """A request with its picture in base64."""
    data = [base64.b64encode(jpeg() if picture is None else picture).decode()]
    image = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": data}
    return {"inputs": [image], "parameters": NAMES, **more}


def in_bytes(picture: bytes | None = None, **more: Any) -> tuple[bytes, dict[str, str]]:
    """The same with its picture after the JSON: body and headers."""
    blob = join_bytes([jpeg() if picture is None else picture])
    image = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(blob)}}
    head = json.dumps({"inputs": [image], "parameters": {**NAMES, "binary_data_output": True}, **more}).encode()
    return head + blob, {LENGTH: str(len(head))}


def outputs_of(reply: httpx.Response) -> dict[str, list[Any]]:
    """The values of all outputs, from JSON or from the bytes behind it."""
    assert reply.status_code == 200, reply.text
    size = int(reply.headers.get(LENGTH, len(reply.content)))
    head, at, found = json.loads(reply.content[:size]), size, dict[str, list[Any]]()
    for output in head["outputs"]:
        if "data" in output:
            found[output["name"]] = output["data"]
            continue
        blob = reply.content[at : (at := at + output["parameters"]["binary_data_size"])]
        if output["datatype"] == "BYTES":
            found[output["name"]] = [text.decode() for text in split_bytes(blob, int(np.prod(output["shape"])), "")]
        else:
            found[output["name"]] = np.frombuffer(blob, "<f4").tolist()
    assert at == len(reply.content)
    return found


async def test_json_and_bytes_have_the_answer_of_classify(both: BothTransports):
    ours = await both.rpc.stub.Classify(question(options=options("mta")))
    body, headers = in_bytes(id="mine")
    by_bytes = await both.http.post("/v2/models/mta/versions/1/infer", content=body, headers=headers)
    by_json = await both.http.post("/v2/models/mta/infer", json=in_json(id="mine"))
    assert LENGTH in by_bytes.headers and by_json.headers["content-type"] == "application/json"
    assert outputs_of(by_bytes) == outputs_of(by_json)
    assert outputs_of(by_json)["label"] == [one.label for one in ours.top]
    assert outputs_of(by_json)["score"] == [one.score for one in ours.top]
    value = by_json.json()
    assert (value["model_name"], value["model_version"], value["id"]) == ("mta", "1", "mine")
    assert value["parameters"]["strategy"] == "mta"
    assert both.rpc.of(Responded)[-1].method == "ModelInfer"


async def test_each_output_comes_as_it_is_asked_for(both: BothTransports):
    asked = [
        {"name": "scores", "parameters": {"binary_data": True}},
        {"name": "score", "parameters": {"classification": 1}},
    ]
    reply = await both.http.post("/v2/models/zero_shot/infer", json=in_json(outputs=asked))
    found = outputs_of(reply)
    score, index, label = found["score"][0].split(":")
    assert (int(index), label) == (int(np.argmax(found["scores"])), ["cat", "dog", "car"][np.argmax(found["scores"])])
    assert float(score) == pytest.approx(max(found["scores"]), abs=1e-6)
    head = json.loads(reply.content[: int(reply.headers[LENGTH])])
    assert ["data" in output for output in head["outputs"]] == [False, True]


async def test_tensors_may_come_both_ways_in_one_request(both: BothTransports):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 20, 30, 3), dtype=np.uint8)
    listed = {"name": "pixels", "datatype": "UINT8", "shape": [1, 20, 30, 3], "data": pixels.tolist()}
    names = {"name": "labels", "datatype": "BYTES", "shape": [3], "data": ["cat", "dog", "car"]}
    alone = await both.http.post("/v2/models/zero_shot/infer", json={"inputs": [listed, names]})
    packed = {**listed, "parameters": {"binary_data_size": pixels.nbytes}}
    del packed["data"]
    head = json.dumps({"inputs": [packed, names]}).encode()
    mixed = await both.http.post(
        "/v2/models/zero_shot/infer", content=head + pixels.tobytes(), headers={LENGTH: str(len(head))}
    )
    assert outputs_of(alone) == outputs_of(mixed)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_bodies_may_be_compressed_both_ways(both: BothTransports, encoding: str, pack: Any):
    names = [f"a word that is long and has number {number}" for number in range(60)]
    body, headers = in_bytes(parameters={"labels": ",".join(names), "top_k": 60})
    plain = await both.http.post(
        "/v2/models/zero_shot/infer", content=body, headers={**headers, "accept-encoding": "identity"}
    )
    coded = {**headers, "content-encoding": encoding, "accept-encoding": f"br, {encoding};q=0.5"}
    reply = await both.http.post("/v2/models/zero_shot/infer", content=pack(body), headers=coded)
    assert outputs_of(plain)
    assert (plain.headers.get("content-encoding"), reply.headers["content-encoding"]) == (None, encoding)
    assert outputs_of(reply) == outputs_of(plain) and both.budget.held == 0


async def test_what_inflates_is_bounded():
    async with open_transports(budget=BodyBudget(20_000, 45_000, 5.0)) as both:
        for body, code in ((gzip.compress(bytes(1 << 20)), 413), (gzip.compress(b"{}")[:-1], 400), (b"{}", 400)):
            reply = await both.http.post(
                "/v2/models/tta/infer", content=body, headers={"content-encoding": "gzip", "content-type": ""}
            )
            assert reply.status_code == code, reply.text
        reply = await both.http.post("/v2/models/tta/infer", content=b"x", headers={"content-encoding": "br"})
        assert (reply.status_code, "gzip and deflate are" in reply.json()["error"]) == (400, True)
        assert both.budget.held == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inputs": 7}, "inputs: a list is needed"),
        ({"inputs": [7]}, "inputs[0]: a JSON object is needed"),
        ({"inputs": [{"name": "image", "colour": 1}]}, "inputs[0].colour: there is no such field"),
        ({"inputs": [{"name": "image", "shape": ["x"]}]}, "inputs[0].shape[0]: 'x' is no whole number"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["aa"]}]}, "inputs.image: 1 values"),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
            "inputs.image: this is not",
        ),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [1]}]}, "inputs.image: its elements"),
        (
            {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 256]}]},
            "inputs.pixels: its values are whole numbers from 0 to 255",
        ),
        (
            {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[[[1], 2, [3]]]]}]},
            "inputs.pixels: its lists of one depth are not equally long",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3], "data": [["aa", "aa"], ["aa"]]}]},
            "inputs.image: its lists of one depth are not equally long",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}]},
            "inputs.image: it has 9 bytes, and 0 are left of the body",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": "9"}}]},
            "inputs.image.parameters.binary_data_size: it takes an integer",
        ),
        (
            {"inputs": [{"name": "image", "parameters": {"shared_memory_region": "x"}}]},
            "inputs.image: this server reads no shared memory",
        ),
        ({"outputs": [{"name": "nothing"}]}, "outputs.nothing: there is no such output"),
        ({"outputs": [{"name": "score", "parameters": {"classification": "x"}}]}, "outputs.score.parameters.class"),
        ({"parameters": {"labels": ["cat"]}}, "parameters.labels: a parameter is a text"),
        ({"parameters": {"seed": 1 << 64}}, "parameters.seed: a parameter is a text"),
        ({"parameters": {"top_k": 1.5, **NAMES}}, "parameters.top_k: it takes an integer"),
        ({"model_name": "other"}, "model_name: the path names zero_shot"),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [9] * 9, "data": []}]},
            "inputs.image: its shape has 9",
        ),
        ({"id": 7}, "id: a text is needed"),
        ({"colour": 7}, "colour: there is no such field"),
    ],
    ids=lambda given: given[:40] if isinstance(given, str) else "",
)
async def test_a_mistake_is_named(both: BothTransports, change: dict[str, Any], sentence: str):
    reply = await both.http.post("/v2/models/zero_shot/infer", json=in_json(**change))
    assert reply.status_code == 400 and list(reply.json()) == ["error"]
    assert reply.json()["error"].startswith(sentence)
    assert both.rpc.of(Refused)[-1].method == "ModelInfer"


@pytest.mark.parametrize(("length", "code"), [("x", 400), ("-1", 400), ("100000", 400), ("9" * 5000, 400), ("0", 400)])
async def test_a_length_that_lies_is_refused(both: BothTransports, length: str, code: int):
    body, _ = in_bytes()
    reply = await both.http.post("/v2/models/tta/infer", content=body, headers={LENGTH: length})
    assert (reply.status_code, list(reply.json())) == (code, ["error"])


async def test_a_blob_that_nobody_claims_is_refused(both: BothTransports):
    body, headers = in_bytes()
    reply = await both.http.post("/v2/models/tta/infer", content=body + b"xy", headers=headers)
    assert (reply.status_code, reply.json()["error"]) == (
        400,
        "inputs: 2 bytes are left after the tensors of all inputs",
    )


async def test_long_tensors_in_json_are_read_whole(both: BothTransports):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (1, 200, 210, 3), dtype=np.uint8)
    listed = {"name": "pixels", "datatype": "UINT8", "shape": [1, 200, 210, 3]}
    found = list[dict[str, Any]]()
    for data in (pixels.tolist(), pixels.flatten().tolist()):
        value = {"inputs": [{**listed, "data": data}], "parameters": NAMES}
        found.append(outputs_of(await both.http.post("/v2/models/zero_shot/infer", json=value)))
    head = json.dumps(
        {"inputs": [{**listed, "parameters": {"binary_data_size": pixels.nbytes}}], "parameters": NAMES}
    ).encode()
    sent = head + pixels.tobytes()
    by_bytes = await both.http.post("/v2/models/zero_shot/infer", content=sent, headers={LENGTH: str(len(head))})
    assert found == [outputs_of(by_bytes)] * 2
    large = jpeg() + bytes(200_000)  # decoders skip what follows the picture
    assert outputs_of(await both.http.post("/v2/models/zero_shot/infer", json=in_json(large)))["label"]


async def test_long_lists_that_stand_side_by_side_are_equally_long(both: BothTransports):
    pixels = np.zeros((1, 200, 210, 3), dtype=np.uint8).tolist()
    pixels[0][77][33:35] = [[0, 0], [0, 0, 0, 0]]
    listed = {"name": "pixels", "datatype": "UINT8", "shape": [1, 200, 210, 3], "data": pixels}
    reply = await both.http.post("/v2/models/zero_shot/infer", json={"inputs": [listed], "parameters": NAMES})
    assert reply.json()["error"] == "inputs.pixels: its lists of one depth are not equally long"


@pytest.mark.parametrize("broken", ["[1,2],[3", "1,,2", "[1][2]", "1,256"], ids=str)
async def test_a_long_list_that_is_none_is_refused(both: BothTransports, broken: str):
    data = f"[{'7,' * 100_000}{broken}]"
    body = f'{{"inputs":[{{"name":"pixels","datatype":"UINT8","shape":[1,1,1,3],"data":{data}}}]}}'
    reply = await both.http.post("/v2/models/zero_shot/infer", content=body)
    assert reply.status_code == 400 and list(reply.json()) == ["error"]


async def test_much_other_json_is_refused_before_it_is_read():
    body = b'{"inputs": [' + b"1.5," * (1 << 18) + b"1]}"
    async with open_transports(budget=BodyBudget(2 << 20, 4 << 20, 5.0)) as both:
        reply = await both.http.post("/v2/models/tta/infer", content=body)
    assert reply.status_code == 413 and "beside long tensors" in reply.json()["error"]


async def test_it_tells_what_it_is(both: BothTransports):
    async def get(path: str) -> Any:
        reply = await both.http.get(path)
        return reply.json() if reply.content else reply.status_code

    client = Client(both.rpc.channel)
    config = (await client.ModelConfig(oip.ModelConfigRequest(name="tda"))).config
    assert (await get("/v2"))["extensions"][0] == "binary_tensor_data"
    assert (await get("/v2/models/tda"))["inputs"][0] == {"name": "image", "datatype": "BYTES", "shape": [-1, 1]}
    assert (await get("/v2/models/tda/config"))["max_batch_size"] == config.max_batch_size
    assert (await get("/v2/models/tda/config"))["input"][1]["data_type"] == "TYPE_UINT8"
    assert [await get(f"/v2/models/tda{path}/ready") for path in ("", "/versions/1")] == [200, 200]
    assert [await get(f"/v2/health/{path}") for path in ("live", "ready")] == [200, 200]
    assert (await get("/v2/models/nothing/ready"))["error"].startswith("model_name: no model is called 'nothing'")
    index = (await both.http.post("/v2/repository/index", json={"ready": True})).json()
    assert {"name": "tda", "version": "1", "state": "READY", "reason": ""} in index
    await both.http.post("/v2/models/tda/infer", json=in_json())
    stats = (await get("/v2/models/tda/stats"))["model_stats"][0]
    assert (stats["inference_count"], stats["inference_stats"]["queue"]["count"]) == (1, 1)
    assert stats["inference_stats"]["cache_hit"] == {"count": 0, "ns": 0}  # perf_analyzer reads it
    assert len((await get("/v2/models/stats"))["model_stats"]) == len(index)


REFUSED_PATHS = {
    "POST /v2/repository/models/tda/load": "RepositoryModelLoad",
    "POST /v2/repository/models/tda/unload": "RepositoryModelUnload",
    "GET /v2/systemsharedmemory/status": "SystemSharedMemoryStatus",
    "GET /v2/systemsharedmemory/region/a/status": "SystemSharedMemoryStatus",
    "POST /v2/systemsharedmemory/region/a/register": "SystemSharedMemoryRegister",
    "GET /v2/cudasharedmemory/status": "CudaSharedMemoryStatus",
    "POST /v2/cudasharedmemory/region/a/register": "CudaSharedMemoryRegister",
    "GET /v2/trace/setting": "TraceSetting",
    "POST /v2/models/tda/trace/setting": "TraceSetting",
    "POST /v2/logging": "LogSettings",
}


@pytest.mark.parametrize("asked", REFUSED_PATHS)
async def test_calls_that_are_not_served_say_so(both: BothTransports, asked: str):
    reply = await both.http.request(*asked.split())
    assert (reply.status_code, reply.json()["error"]) == (501, REFUSED[REFUSED_PATHS[asked]])
    assert set(REFUSED) == set(REFUSED_PATHS.values())


@pytest.mark.parametrize("path", ["systemsharedmemory", "cudasharedmemory", "systemsharedmemory/region/a"])
async def test_nothing_is_registered_and_may_be_forgotten(both: BothTransports, path: str):
    assert (await both.http.post(f"/v2/{path}/unregister")).status_code == 200


async def test_sequences_are_those_of_grpc(both: BothTransports):
    async def frame(**parameters: Any) -> Any:
        reply = await both.http.post("/v2/models/tda/infer", json=in_json(parameters={**NAMES, **parameters}))
        value = reply.json()
        return value["error"] if "error" in value else value["parameters"]["session_frames"]

    client = Client(both.rpc.channel)
    assert "START" in await frame(sequence_id=7)
    assert await frame(sequence_id=7, sequence_start=True) == 1
    assert (await client.ModelInfer(infer(sequence_id="7"))).parameters["session_frames"].int64_param == 2
    assert await frame(sequence_id="7", sequence_end=True) == 3
    assert (await refused(client.ModelInfer(infer(sequence_id=7))))[1] == await frame(sequence_id=7)


async def test_owners_need_keys_and_have_sequences_of_their_own(tmp_path: Path):
    tokens = [add(tmp_path / "keys", name, Role.INFER) for name in ("ann", "bob")]
    ann, bob = ({"authorization": f"Bearer {token}"} for token in tokens)
    async with open_transports(Identity(KeyFile(tmp_path / "keys"))) as both:
        body = in_json(parameters={**NAMES, "sequence_id": 7, "sequence_start": True})
        nobody = await both.http.post("/v2/models/tda/infer", json=body)
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer") and nobody.json()["error"]
        assert (await both.http.get("/v2")).status_code == 401
        assert (await both.http.get("/v2/health/ready")).status_code == 200
        assert (await both.http.post("/v2/models/tda/infer", json=body, headers=ann)).status_code == 200
        del body["parameters"]["sequence_start"]
        assert (await both.http.post("/v2/models/tda/infer", json=body, headers=bob)).status_code == 400
        assert (await both.http.post("/v2/models/tda/infer", json=body, headers=ann)).status_code == 200


async def test_refusals_before_a_method_have_the_protocol_s_form(both: BothTransports):
    for reply, code in (
        (await both.http.get("/v2", headers={"host": "evil.example"}), 403),
        (await both.http.get("/v2", headers={"origin": "https://evil.example"}), 403),
        (await both.http.get("/v2/nosuch"), 404),
        (await both.http.delete("/v2"), 405),
        (await both.http.post("/v2/models/nothing/infer", json=in_json()), 404),
        (await both.http.post("/v2/models/tda/versions/2/infer", json=in_json()), 404),
    ):
        assert (reply.status_code, list(reply.json())) == (code, ["error"])
    async with open_transports(connections=1) as full:
        await full.http.get("/healthz")
        reply, _ = await raw(full.port, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 503 ") and b'{"error":' in reply


async def test_budgets_and_deadlines_are_those_of_rest():
    async with open_transports(budget=BodyBudget(1000, 1500, 5.0)) as both:
        reply = await both.http.post("/v2/models/tda/infer", content=b"x" * 1001)
        assert (reply.status_code, list(reply.json())) == (413, ["error"])
        async with busy(both.rpc):
            late = await both.http.post("/v2/models/zero_shot/infer", content=b"{}", headers={"x-timeout-ms": "x"})
            assert (late.status_code, late.json()["error"].partition(":")[0]) == (400, "X-Timeout-Ms")
        assert both.budget.held == 0


async def test_a_deadline_passes_and_a_client_that_leaves_cancels(both: BothTransports):
    body = in_json(parameters={**NAMES, "on_deadline": "fail"})
    async with busy(both.rpc):
        late = await both.http.post("/v2/models/zero_shot/infer", json=body, headers={"x-timeout-ms": "50"})
        assert late.status_code == 504
        budget = in_json(parameters={**NAMES, "on_deadline": "fail", "timeout": 50_000})
        assert (await both.http.post("/v2/models/zero_shot/infer", json=budget)).status_code == 504
        with pytest.raises(httpx.ReadTimeout):
            await both.http.post("/v2/models/zero_shot/infer", json=body, timeout=0.2)
        await until(lambda: any(one.code == 499 for one in both.rpc.of(Responded)))
        assert both.rpc.parts.admission.running_requests == 0
