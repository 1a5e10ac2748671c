"""The server from its start to its end: health, options, drain and stop."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.patience import PATIENCE
from tta_service.core.events import Called
from tta_service.rpc.server import SERVICE, Server, options
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import busy, frame, open_harness, opening, question, until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health(harness, service: str = "") -> int:
    return (await HealthStub(harness.channel).Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_health_follows_set_serving(harness):
    assert [await health(harness, name) for name in ("", SERVICE)] == [SERVING, SERVING]
    harness.server.health.set_serving(False)
    assert [await health(harness, name) for name in ("", SERVICE)] == [NOT_SERVING, NOT_SERVING]
    harness.server.health.set_serving(True)
    assert await health(harness) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(harness, "somebody.Else")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_server_is_not_serving_before_it_is_warm():
    async with open_harness(warm=False) as harness:
        assert await health(harness) == NOT_SERVING


async def test_the_port_is_open_before_the_service_is_there(harness):
    server = Server(observe=harness.events.append)
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = AdaptationServiceStub(channel)
            response = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert response.status == NOT_SERVING
            for ask in (lambda: stub.Classify(question()), lambda: stub.ClassifyStream(iter([opening()])).read()):
                with pytest.raises(grpc.aio.AioRpcError, match="warming up") as caught:
                    await ask()
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert b"RetryInfo" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
            nothing = channel.unary_unary(f"/{SERVICE}/Guess")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await nothing(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            server.serve(harness.service)
            assert (await stub.Classify(question())).top
            assert (await stub.ClassifyStream(iter([opening()])).read()).WhichOneof("kind") == "status"
    finally:
        await server.stop(0.0)
    assert {call.kind for call in harness.of(Called) if call.method == "ClassifyStream"} == {"bidi_stream"}


def test_channel_options():
    channel = dict(options(1 << 20, 7, 90.0, 33))
    assert channel["grpc.max_receive_message_length"] == 1 << 20 and channel["grpc.max_concurrent_streams"] == 7
    assert channel["grpc.max_allowed_incoming_connections"] == 33
    assert 0 < channel["grpc.server_handshake_timeout_ms"] < channel["grpc.max_connection_idle_ms"]
    assert channel["grpc.http2.bdp_probe"] == 0 and channel["grpc.http2.lookahead_bytes"] == 65536
    assert channel["grpc.max_connection_age_ms"] == 90_000 and channel["grpc.so_reuseport"] == 0
    assert channel["grpc.keepalive_permit_without_calls"] == 1
    assert "grpc.max_connection_age_ms" not in dict(options(1, 1, 0.0))


async def test_health_can_be_watched(harness):
    watching = HealthStub(harness.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watching.read()).status == SERVING
    harness.server.health.set_serving(False)
    assert (await watching.read()).status == NOT_SERVING
    harness.server.health.set_serving(False)
    harness.server.health.set_serving(True)
    assert (await watching.read()).status == SERVING
    unknown = HealthStub(harness.channel).Watch(health_pb2.HealthCheckRequest(service="somebody.Else"))
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watching.cancel()
    unknown.cancel()


async def test_a_draining_server_notifies_its_watchers_and_does_not_wait_for_them(harness):
    watching = HealthStub(harness.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watching.read()).status == SERVING
    harness.server.drain(1.0)
    assert (await watching.read()).status == NOT_SERVING
    async with asyncio.timeout(PATIENCE):
        await harness.server.stop(3600.0)
    assert await watching.read() is grpc.aio.EOF


async def test_reflection_knows_the_service_and_its_messages(harness):
    ask = reflection_pb2.ServerReflectionRequest
    asked = [
        ask(list_services=""),
        ask(file_containing_symbol=SERVICE),
        ask(file_by_filename="google/rpc/status.proto"),
    ]
    listed, ours, status = [
        reply async for reply in ServerReflectionStub(harness.channel).ServerReflectionInfo(iter(asked))
    ]
    assert SERVICE in {service.name for service in listed.list_services_response.service}
    assert b"ClassifyStreamRequest" in b"".join(ours.file_descriptor_response.file_descriptor_proto)
    assert status.file_descriptor_response.file_descriptor_proto


async def test_draining_notifies_streams_and_still_answers(harness):
    call = harness.stub.ClassifyStream()
    await call.write(opening(policy=pb.OpenStream.POLICY_BLOCK))
    await call.read()
    harness.server.drain(2.5)
    notice = await call.read()
    assert notice.WhichOneof("kind") == "draining"
    assert notice.draining.deadline.ToTimedelta().total_seconds() == 2.5
    assert await health(harness) == NOT_SERVING
    harness.server.health.set_serving(True)  # one good forward does not bring a draining server back
    assert await health(harness) == NOT_SERVING
    await call.write(frame(0))
    answer = (await call.read()).answer
    assert answer.frame_id == 0
    await call.done_writing()
    while (reply := await call.read()) is not grpc.aio.EOF:
        assert reply.WhichOneof("kind") == "status"
    again = harness.stub.ClassifyStream(iter([opening(resume_token=notice.draining.resume_token)]))
    status = (await again.read()).status.session
    assert status.session_id == answer.response.session.session_id
    assert status.origin == pb.SessionStatus.ORIGIN_FRESH  # there is no store here
    again.cancel()


async def test_stopping_waits_for_calls_under_way(harness):
    asked = []
    async with busy(harness):
        asked.append(asyncio.ensure_future(harness.stub.Classify(question())))
        await until(lambda: harness.parts.admission.running_rows == 1)
        stopping = asyncio.create_task(harness.server.stop(PATIENCE))
        await until(lambda: refuses_connections(harness))
    assert (await asked[0]).top
    await stopping


def refuses_connections(harness) -> bool:
    """Whether the listening socket is closed."""
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", harness.port)) != 0


async def test_stopping_cuts_off_what_does_not_end(harness):
    call = harness.stub.ClassifyStream()
    await call.write(opening())
    await call.read()
    await harness.server.stop(0.1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: harness.parts.sessions.counters.streams == 0)


async def test_an_address_in_use_is_an_error(harness):
    async with open_harness() as other:
        with pytest.raises(RuntimeError):
            await other.server.start(f"127.0.0.1:{harness.port}")


async def test_a_server_that_could_not_start_can_be_stopped(harness):
    async with open_harness() as other:
        stillborn = Server(other.service)
        with pytest.raises(RuntimeError):
            await stillborn.start(f"127.0.0.1:{harness.port}")
        await stillborn.stop(1.0)


async def test_every_call_that_begins_also_ends(harness):
    await health(harness)
    call = harness.stub.ClassifyStream()
    await call.write(opening())
    await call.read()
    call.cancel()
    with pytest.raises(grpc.aio.AioRpcError):
        await harness.stub.GetSession(pb.GetSessionRequest(session_id="nobody"))
    await until(lambda: len(harness.of(Called)) == 6)
    ends = {(call.method, call.kind): call.code for call in harness.of(Called) if call.code}
    stream = ends.pop(("ClassifyStream", "bidi_stream"))
    assert stream in ("CANCELLED", "OK")  # the end of its messages may come first
    assert ends == {("Check", "unary"): "OK", ("GetSession", "unary"): "NOT_FOUND"}
    assert all(call.seconds > 0 for call in harness.of(Called) if call.code)
