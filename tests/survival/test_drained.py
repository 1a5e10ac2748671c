"""A drained server loses nothing: its streams get a resume token and go on elsewhere."""

from __future__ import annotations

import asyncio
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tests.rpc.conftest import code_of
from tests.survival.cameras import BLOCK, LABELS, LATEST, Camera, picture, process, scores, start_service
from tta_service.wire.v1 import tta_pb2 as pb

RESTORED = pb.SessionStatus.ORIGIN_RESTORED


async def test_a_drained_server_loses_nothing_and_its_tokens_open_the_streams_again(tmp_path: Path):
    async with start_service(tmp_path) as (_, elsewhere):
        async with AsyncExitStack() as leaving:
            service, stub = await leaving.enter_async_context(start_service(tmp_path))
            cameras = {"door": Camera(stub), "": Camera(stub), "cut": Camera(stub)}
            for name, camera in cameras.items():
                await camera.open(session_id=name)
                for number in (1, 2, 3):
                    await camera.frame(number)
            draining = asyncio.create_task(service.__aexit__(None, None, None))  # as after SIGTERM
            for camera in cameras.values():
                while not camera.drained.is_set():
                    await camera.read()
                assert (await camera.frame(4)).response.session.frames == 4  # until then all goes on
            await cameras["door"].end()
            await cameras[""].end()
            cameras["cut"].call.cancel()  # this one goes without a word
            await draining
        tokens = {name: camera.token for name, camera in cameras.items()}
        for name, token in tokens.items():
            camera = Camera(elsewhere)
            status = await camera.open(resume_token=token)
            assert (status.origin, status.frames, status.last_frame_id) == (RESTORED, 4, 4)
            assert status.session_id == name or not name
            assert (await camera.frame(5)).response.session.frames == 5
            await camera.end()
        for wrong in ({"resume_token": tokens[""], "session_id": "door"}, {"resume_token": b"x" + tokens["door"]}):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await Camera(elsewhere).open(**wrong)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_sigterm_under_load_loses_no_answer_and_no_memory(tmp_path: Path):
    async with process(tmp_path) as (server, stub):
        cameras = [Camera(stub, number) for number in range(8)]
        for camera in cameras:  # one in two gave no name, one in four lets the service choose among its frames
            policy, name = (LATEST if camera.number % 4 == 3 else BLOCK), f"camera-{camera.number}"
            await camera.open(policy=policy, session_id=name if camera.number % 2 else "")
        listening = [asyncio.create_task(camera.listen()) for camera in cameras]
        sending = [asyncio.create_task(send_until_draining(camera)) for camera in cameras]
        while any(len(camera.answers) < 3 for camera in cameras):  # noqa: ASYNC110 - each reads for itself
            await asyncio.sleep(0.02)
        assert any(camera.sent > max(camera.answers) for camera in cameras), "there is no load"
        server.signal(signal.SIGTERM)
        await asyncio.gather(*sending)
        await asyncio.gather(*listening)  # every stream ends well
        assert await server.ended() == 0

    for camera in cameras:
        answered = len(camera.answers)
        assert max(camera.answers) == camera.sent, "the last frame was not answered"
        dropped = sum(answer.dropped_since_last for answer in camera.answers.values())
        assert answered + dropped == camera.sent and (dropped == 0 or camera.number % 4 == 3)
        assert camera.answers[camera.sent].response.session.frames == answered

    async with start_service(tmp_path) as (_, stub):
        for before in cameras:
            after = Camera(stub, before.number)
            status = await after.open(resume_token=before.token)
            remembered = (status.origin, status.frames, status.last_frame_id)
            assert remembered == (RESTORED, len(before.answers), before.sent)
            answer = await after.frame(before.sent + 1)
            if before.number == 0:
                whole = Camera(stub, before.number)
                await whole.open()
                last = [await whole.frame(number) for number in range(1, before.sent + 2)][-1]
                assert scores(answer) == pytest.approx(scores(last), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("is_freed", [False, True])
async def test_sigterm_with_a_full_store_waits_for_it_and_says_what_is_lost(tmp_path: Path, is_freed: bool) -> None:
    async with process(tmp_path / "store", keep_log=True, server__drain=20.0 if is_freed else 1.0) as (server, stub):
        full, whole = (100, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, full)
        lesson = pb.Lesson(image=pb.Image(encoded=picture(1)), labels=LABELS, label=LABELS.label_set.names[0])
        (result,) = (await stub.TeachSession(pb.TeachSessionRequest(session_id="door", lessons=[lesson]))).results
        assert not result.stored
        server.signal(signal.SIGTERM)
        if is_freed:
            await asyncio.sleep(12.0)  # longer than the sessions are waited for before streams are asked to go
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, whole)
        assert await server.ended() == 0
        lost = [line for line in server.read_log() if "lost" in line]
    assert len(lost) == (not is_freed)
    assert is_freed or ("error" in lost[0] and "1 sessions, 1 of them with lessons" in lost[0] and "door" in lost[0])
    async with start_service(tmp_path / "store") as (_, stub):
        listed = await code_of(stub.ListLessons(pb.ListLessonsRequest(session_id="door")))
        assert listed is (grpc.StatusCode.OK if is_freed else grpc.StatusCode.NOT_FOUND)


async def send_until_draining(camera: Camera) -> None:
    """More frames than the service takes, until it drains; then one more, and the stream ends."""
    async for _ in camera.keep_sending():
        if camera.drained.is_set():
            return await camera.call.done_writing()
