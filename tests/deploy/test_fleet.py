"""A fleet keeps each session on one server; when a server leaves, only its own sessions move."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc
import numpy as np
import pytest
from tta_client.aio.client import AsyncClient

from tests.deploy.camera import NAMES as LABELS
from tests.deploy.camera import Camera, picture
from tests.deploy.fleet import fleet
from tests.deploy.sessions import SESSIONS, Traffic
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

LOST = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}  # by a proxy


@pytest.mark.slow
async def test_a_server_that_leaves_moves_its_own_sessions_and_no_others(tmp_path: Path):
    async with (
        fleet(tmp_path) as two,
        AsyncClient(two.proxy, timeout=120) as client,
        grpc.aio.insecure_channel(two.proxy) as channel,
    ):
        traffic = Traffic(two, client, AdaptationServiceStub(channel))
        assert {name: await traffic.step(name) for name in SESSIONS} == dict.fromkeys(SESSIONS, "fresh")
        await traffic.together()
        of_a, of_b = set(await two.sessions_of("a")), set(await two.sessions_of("b"))
        assert of_a and of_b and sorted(of_a | of_b) == SESSIONS and not of_a & of_b
        assert await traffic.takeovers() == dict.fromkeys(SESSIONS, 0)

        await drain(traffic, min(of_a), min(of_b), of_a)
        assert await traffic.takeovers() == {name: 1 if name in of_a else 0 for name in SESSIONS}

        await two.start("a")
        await two.until_stored(traffic.frames)
        await two.until(a=True)
        for name in SESSIONS:
            assert await traffic.step(name) == ("restored" if name in of_a else "continued")
        assert await traffic.takeovers() == {name: 2 if name in of_a else 0 for name in SESSIONS}

        await kill(traffic, min(of_a), min(of_b), of_a)
        assert await traffic.takeovers() == {name: 3 if name in of_a else 0 for name in SESSIONS}
        assert set(await two.sessions_of("b")) == set(SESSIONS)


async def drain(traffic: Traffic, leaving: str, staying: str, of_a: set[str]) -> None:
    """SIGTERM to a, under a stream and under calls: every answer that it gave is remembered on b."""
    here, there = await traffic.open(leaving), await traffic.open(staying)
    traffic.fleet.servers["a"].send_signal(signal.SIGTERM)
    await asyncio.gather(
        until_draining(traffic, leaving, here), *(until_moved(traffic, name) for name in of_a - {leaving})
    )
    await here.end()
    await traffic.fleet.until(a=False, b=True)
    elsewhere = Camera(traffic.stub, leaving)
    status, seen = await elsewhere.open(here.token), traffic.frames[leaving]
    assert (status.origin, status.frames, status.last_frame_id) == (pb.SessionStatus.ORIGIN_RESTORED, seen, seen)
    for name, camera in ((leaving, elsewhere), (staying, there)):
        await traffic.frame(name, camera)
        await camera.end()
    assert not there.token
    assert await traffic.fleet.servers["a"].wait() == 0
    await traffic.together()


async def until_draining(traffic: Traffic, name: str, camera: Camera) -> None:
    while not camera.token:
        await traffic.frame(name, camera)


async def until_moved(traffic: Traffic, name: str) -> None:
    while await traffic.step(name) != "restored":
        pass


async def kill(traffic: Traffic, dying: str, staying: str, of_a: set[str]) -> None:
    """SIGKILL to a: its sessions go on from what the store has, b's never notice."""
    here, there = await traffic.open(dying), await traffic.open(staying)
    await traffic.fleet.until_stored(traffic.frames)
    for name, camera in ((dying, here), (staying, there)):
        await traffic.frame(name, camera)
    traffic.fleet.servers["a"].kill()
    await traffic.fleet.servers["a"].wait()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.answer()
    assert caught.value.code() in LOST
    await traffic.frame(staying, there)
    await there.end()
    for name in sorted(of_a):
        known = await traffic.fleet.stored(name)
        assert traffic.frames[name] - 1 <= known <= traffic.frames[name]
        traffic.frames[name] = known
        assert await traffic.step(name) == "restored"
    await traffic.together()


@pytest.mark.slow
async def test_a_sequence_of_the_open_inference_protocol_stays_on_the_server_that_its_header_names(tmp_path: Path):
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

    def ask(address: str, name: str, frame: int) -> int:
        tensor = triton.InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[picture(frame)]], dtype=object))
        more = {"parameters": {"labels": ",".join(LABELS)}, "headers": {"x-session-id": name}}
        with triton.InferenceServerClient(address) as client:
            reply = client.infer("tda", [tensor], sequence_id=name, sequence_start=frame == 1, **more).get_response()
        return reply.parameters["session_frames"].int64_param

    async with fleet(tmp_path) as two:
        for frame in (1, 2, 3):
            counted = [await asyncio.to_thread(ask, two.proxy, name, frame) for name in SESSIONS]
            assert counted == [frame] * len(SESSIONS)  # over a new connection each time
        of_a, of_b = await two.sessions_of("a"), await two.sessions_of("b")
        assert of_a and of_b and sorted(of_a | of_b) == SESSIONS
        assert {one.epoch for one in (of_a | of_b).values()} == {1}  # none has moved
