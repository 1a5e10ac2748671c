"""The Open Inference Protocol as gRPC clients without a package of ours see it: tensors, sequences, streams, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.wire.test_keys import add
from tta_service.core.events import Refused
from tta_service.rpc.open_inference import METHODS, REFUSED
from tta_service.rpc.server import SERVICE, Server
from tta_service.wire.identity import Identity
from tta_service.wire.keys import KeyFile, Role
from tta_service.wire.oip.limits import OipLimits
from tta_service.wire.oip.models import OPEN_INFERENCE
from tta_service.wire.oip.tensors import join_bytes, split_bytes
from tta_service.wire.v1 import open_inference_pb2 as oip
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import busy, jpeg, open_harness, options, question, until

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
START, END = {"sequence_start": True}, {"sequence_end": True}


class Client:
    """The protocol's calls over a channel, with the messages of its own pool."""

    def __init__(self, channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> None:
        self._channel, self._metadata = channel, metadata

    def __getattr__(self, name: str) -> Any:
        method = METHODS[name]
        make = self._channel.stream_stream if method.client_streaming else self._channel.unary_unary
        request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = make(f"/{OPEN_INFERENCE}/{name}", request.SerializeToString, reply.FromString)
        return lambda *arguments, **more: call(*arguments, metadata=self._metadata, **more)


def infer(model: str = "tda", *pictures: bytes, id: str = "", **parameters: Any) -> oip.ModelInferRequest:
    """A request about pictures, by default one, with the labels of `question`."""
    pictures = pictures or (jpeg(),)
    message = oip.ModelInferRequest(model_name=model, id=id, raw_input_contents=[join_bytes(pictures)])
    message.inputs.add(name="image", datatype="BYTES", shape=[len(pictures), 1])
    given = {"labels": "cat,dog,car", **({"strategy.views": 1} if model == "tda" else {}), **parameters}
    for name, value in given.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(message.parameters[name], kind, value)
    return message


def floats(reply: oip.ModelInferResponse, name: str) -> Any:
    place = next(place for place, output in enumerate(reply.outputs) if output.name == name)
    return np.frombuffer(reply.raw_output_contents[place], "<f4").reshape(reply.outputs[place].shape)


def texts(reply: oip.ModelInferResponse, name: str) -> list[str]:
    place = next(place for place, output in enumerate(reply.outputs) if output.name == name)
    count = int(np.prod(reply.outputs[place].shape))
    return [text.decode() for text in split_bytes(reply.raw_output_contents[place], count, "")]


def frames_of(reply: oip.ModelInferResponse) -> int:
    return reply.parameters["session_frames"].int64_param


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


@pytest.fixture
def client(harness) -> Client:
    return Client(harness.channel)


@pytest.mark.parametrize("strategy", ["zero_shot", "mta", "tda", "tpt"])
async def test_an_answer_is_that_of_classify(harness, client, strategy):
    theirs = await client.ModelInfer(infer("tta", strategy=strategy, top_k=3))
    ours = await harness.stub.Classify(question(options=options(strategy)))
    assert texts(theirs, "label") == [score.label for score in ours.top]
    assert floats(theirs, "score")[0].tolist() == [score.score for score in ours.top]
    assert floats(theirs, "zero_shot_score")[0].tolist() == [score.score for score in ours.zero_shot]
    assert theirs.parameters["strategy"].string_param == strategy


async def test_pictures_of_one_request_are_answered_as_if_they_came_alone(client):
    pictures = [jpeg(seed) for seed in range(3)]
    together = await client.ModelInfer(infer("mta", *pictures))
    alone = [await client.ModelInfer(infer("mta", picture)) for picture in pictures]
    assert np.allclose(floats(together, "score"), np.concatenate([floats(one, "score") for one in alone]), atol=1e-5)


async def test_the_bad_one_of_several_pictures_is_named(client):
    code, sentence = await refused(client.ModelInfer(infer("zero_shot", jpeg(), b"no picture")))
    assert (code, sentence.partition(":")[0]) == (INVALID, "inputs.image[1]")


async def test_more_pictures_than_allowed_are_refused():
    async with open_harness(oip=OipLimits(batch=2)) as harness:
        code, sentence = await refused(Client(harness.channel).ModelInfer(infer("mta", *[jpeg()] * 3)))
    assert code is INVALID and "at most 2" in sentence


async def test_outputs_come_in_the_order_asked_for_and_scores_as_classes(client):
    message = infer("zero_shot", id="mine")
    message.outputs.add(name="scores")
    message.outputs.add(name="score").parameters["classification"].int64_param = 2
    reply = await client.ModelInfer(message)
    assert [output.name for output in reply.outputs] == ["scores", "score"]
    assert len(reply.raw_output_contents) == 2 and (reply.id, reply.model_version) == ("mine", "1")
    scores, names = floats(reply, "scores")[0], ["cat", "dog", "car"]
    best = sorted(range(3), key=lambda index: -scores[index])[:2]
    assert texts(reply, "score") == [f"{scores[index]:f}:{index}:{names[index]}" for index in best]


async def test_embed_gives_the_feature_of_the_plain_picture(client):
    message = infer("embed", jpeg(1), jpeg(2))
    del message.parameters["labels"]
    embedding = floats(await client.ModelInfer(message), "embedding")
    metadata = await client.ModelMetadata(oip.ModelMetadataRequest(name="embed"))
    assert embedding.shape == (2, metadata.outputs[0].shape[1])
    assert np.allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


async def test_a_sequence_is_a_session(harness, client):
    first = await client.ModelInfer(infer(sequence_id=7, **START))
    second = await client.ModelInfer(infer(sequence_id="7"))
    ours = await harness.stub.Classify(question(session_id="7", options=options("tda", views=1)))
    assert (frames_of(first), frames_of(second), ours.session.frames) == (1, 2, 3)
    assert frames_of(await client.ModelInfer(infer(sequence_id=7, **END))) == 4
    with pytest.raises(grpc.aio.AioRpcError):
        await harness.stub.GetSession(pb.GetSessionRequest(session_id="7"))


async def test_a_frame_of_an_unknown_sequence_needs_the_start_flag(client):
    code, sentence = await refused(client.ModelInfer(infer(sequence_id=7)))
    assert code is INVALID and "START" in sentence
    assert (await refused(client.ModelInfer(infer(sequence_id=7, **END))))[0] is INVALID


async def test_without_strictness_any_frame_begins_a_sequence():
    async with open_harness(oip=OipLimits(strict=False)) as harness:
        client = Client(harness.channel)
        assert [frames_of(await client.ModelInfer(infer(sequence_id=7))) for _ in range(2)] == [1, 2]


async def test_a_sequence_ends_once(client):
    assert frames_of(await client.ModelInfer(infer(sequence_id=7, **START, **END))) == 1
    assert (await refused(client.ModelInfer(infer(sequence_id=7, **END))))[0] is INVALID


async def test_a_start_on_a_live_id_begins_anew(client):
    await client.ModelInfer(infer(sequence_id=7, **START))
    await client.ModelInfer(infer(sequence_id=7))
    assert frames_of(await client.ModelInfer(infer(sequence_id=7, **START))) == 1
    assert frames_of(await client.ModelInfer(infer(sequence_id=7))) == 2


async def test_a_start_that_is_refused_leaves_the_sequence_as_it_is(client):
    await client.ModelInfer(infer(sequence_id=7, **START))
    assert (await refused(client.ModelInfer(infer("tta", sequence_id=7, strategy="none", **START))))[0] is INVALID
    assert frames_of(await client.ModelInfer(infer(sequence_id=7))) == 2


async def test_an_idle_sequence_is_forgotten(harness, client):
    await client.ModelInfer(infer(sequence_id=7, **START))
    harness.parts.sessions.close("", "7")
    assert (await refused(client.ModelInfer(infer(sequence_id=7))))[0] is INVALID
    config = (await client.ModelConfig(oip.ModelConfigRequest(name="tda"))).config
    assert config.sequence_batching.max_sequence_idle_microseconds == 300_000_000


async def test_calls_of_one_sequence_that_are_under_way_take_turns(client):
    await client.ModelInfer(infer(sequence_id=7, **START))
    calls = [client.ModelInfer(infer(sequence_id=7)) for _ in range(6)]
    assert sorted([frames_of(await call) for call in calls]) == [2, 3, 4, 5, 6, 7]


async def test_a_frame_whose_time_passes_in_the_backlog_is_refused_and_the_others_go_on(harness, client):
    async with busy(harness):
        first = client.ModelInfer(infer(sequence_id=7, **START))
        await asyncio.sleep(0.05)
        late = client.ModelInfer(infer(sequence_id=7, timeout=20_000))
        assert (await refused(late))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        last = client.ModelInfer(infer(sequence_id=7, **END))
        await asyncio.sleep(0.05)
    assert (frames_of(await first), frames_of(await last)) == (1, 2)


async def test_a_sequence_takes_one_picture_at_a_time_and_an_id_as_sessions_have(client):
    code, sentence = await refused(client.ModelInfer(infer("tda", jpeg(), jpeg(), sequence_id=7, **START)))
    assert code is INVALID and "one picture, not 2" in sentence
    code, sentence = await refused(client.ModelInfer(infer(sequence_id="a b", **START)))
    assert code is INVALID and sentence.startswith("parameters.sequence_id: a session id is")


async def test_owners_have_sequences_of_their_own(tmp_path: Path):
    tokens = [add(tmp_path / "keys", name, Role.INFER) for name in ("ann", "bob")]
    async with open_harness(identity=Identity(KeyFile(tmp_path / "keys"))) as harness:
        ann, bob = (Client(harness.channel, ("authorization", f"Bearer {token}")) for token in tokens)
        await ann.ModelInfer(infer(sequence_id=7, **START))
        assert (await refused(bob.ModelInfer(infer(sequence_id=7))))[0] is INVALID
        assert frames_of(await ann.ModelInfer(infer(sequence_id=7))) == 2


async def test_nothing_is_answered_without_a_key(tmp_path: Path):
    add(tmp_path / "keys", "ann", Role.INFER)
    async with open_harness(identity=Identity(KeyFile(tmp_path / "keys"))) as harness:
        client = Client(harness.channel)
        code, _ = await refused(client.ModelInfer(infer()))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert (await refused(client.ServerLive(oip.ServerLiveRequest())))[0] is code
        assert (await refused(client.ModelStreamInfer(iter([infer()])).read()))[0] is code


async def test_a_stream_answers_many_sequences_in_order_and_goes_on_after_errors(harness, client):
    messages = [
        infer(sequence_id=camera, id=f"{camera}/{frame}", sequence_start=frame == 0, sequence_end=frame == 1)
        for frame in range(2)
        for camera in range(1, 17)
    ]
    messages.insert(5, infer("nothing", id="bad"))
    replies = [reply async for reply in client.ModelStreamInfer(iter(messages))]
    assert [reply.infer_response.id for reply in replies] == [message.id for message in messages]
    assert [bool(reply.error_message) for reply in replies] == [message.id == "bad" for message in messages]
    assert [frames_of(reply.infer_response) for reply in replies if not reply.error_message] == [1] * 16 + [2] * 16
    (event,) = harness.of(Refused)
    assert (event.method, event.request_id) == ("ModelStreamInfer", "bad")
    assert (harness.service.buffered.frames, harness.service.buffered.bytes) == (0, 0)


async def test_a_stream_may_ask_for_errors_that_end_it(harness):
    stream = Client(harness.channel, ("triton_grpc_error", "true")).ModelStreamInfer(iter([infer("nothing"), infer()]))
    assert (await refused(stream.read()))[0] is NOT_FOUND


async def test_a_stream_that_is_left_holds_nothing(harness, client):
    async with busy(harness):
        stream = client.ModelStreamInfer(endless())
        await until(lambda: harness.service.buffered.frames >= 8)
        stream.cancel()
        await until(lambda: (harness.service.buffered.frames, harness.service.buffered.bytes) == (0, 0))


async def endless() -> AsyncIterator[oip.ModelInferRequest]:
    while True:
        yield infer("zero_shot")
        await asyncio.sleep(0)


async def test_a_stream_reads_no_more_than_it_may_hold():
    async with open_harness(buffer=4) as harness:
        client = Client(harness.channel)
        async with busy(harness):
            stream = client.ModelStreamInfer(endless())
            await until(lambda: harness.service.buffered.frames == 4)
            await asyncio.sleep(0.1)
            assert harness.service.buffered.frames == 4
        stream.cancel()


async def test_a_server_that_drains_answers_what_it_has_read_and_ends_the_stream(harness, client):
    async with busy(harness):
        stream = client.ModelStreamInfer()
        for number in range(3):
            await stream.write(infer("zero_shot", id=str(number)))
        await until(lambda: harness.service.buffered.frames == 3)
        harness.server.drain(10.0)
    assert [(await stream.read()).infer_response.id for _ in range(3)] == ["0", "1", "2"]
    assert (await refused(stream.read()))[0] is grpc.StatusCode.UNAVAILABLE


async def test_counts_of_all_stages_are_equal_and_grow(client):
    async def numbers() -> oip.ModelStatistics:
        reply = await client.ModelStatistics(oip.ModelStatisticsRequest(name="mta"))
        return reply.model_stats[0]

    before = await numbers()
    await client.ModelInfer(infer("mta", jpeg(), jpeg()))
    await refused(client.ModelInfer(infer("mta", b"no picture")))
    after = await numbers()
    stages = "success", "queue", "compute_input", "compute_infer", "compute_output"
    assert {getattr(before.inference_stats, stage).count for stage in stages} == {0}
    assert {getattr(after.inference_stats, stage).count for stage in stages} == {1}
    spent = [getattr(after.inference_stats, stage).ns for stage in stages]
    assert abs(spent[0] - sum(spent[1:])) <= len(spent)
    assert (after.inference_count, after.execution_count, after.inference_stats.fail.count) == (2, 1, 1)
    assert len((await client.ModelStatistics(oip.ModelStatisticsRequest())).model_stats) > 10


async def test_models_tell_what_they_keep(client):
    async def config(name: str) -> oip.ModelConfig:
        return (await client.ModelConfig(oip.ModelConfigRequest(name=name))).config

    assert (await config("tda")).HasField("sequence_batching")
    assert not (await config("mta")).HasField("sequence_batching")
    index = await client.RepositoryIndex(oip.RepositoryIndexRequest())
    assert {"tta", "embed", "tda", "mta"} <= {model.name for model in index.models if model.state == "READY"}
    assert (await refused(client.ModelConfig(oip.ModelConfigRequest(name="nothing"))))[0] is NOT_FOUND


@pytest.mark.parametrize("name", REFUSED)
async def test_calls_that_are_not_served_say_so(harness, name):
    call = harness.channel.unary_unary(f"/{OPEN_INFERENCE}/{name}")
    assert await refused(call(b"")) == (grpc.StatusCode.UNIMPLEMENTED, REFUSED[name])


async def test_before_the_model_is_loaded_the_server_lives_and_is_not_ready():
    server = Server()
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = Client(channel)
            assert (await client.ServerLive(oip.ServerLiveRequest())).live
            assert not (await client.ServerReady(oip.ServerReadyRequest())).ready
            assert not (await client.ModelReady(oip.ModelReadyRequest(name="tta"))).ready
            assert (await refused(client.ModelInfer(infer())))[0] is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(0.0)


async def test_reflection_knows_both_services(harness):
    stub = ServerReflectionStub(harness.channel)
    for symbol in (SERVICE, OPEN_INFERENCE, "inference.ModelInferRequest", "grpc.health.v1.Health"):
        ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        reply = await stub.ServerReflectionInfo(iter([ask])).read()
        assert reply.file_descriptor_response.file_descriptor_proto, symbol
