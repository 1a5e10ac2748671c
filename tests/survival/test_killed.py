"""SIGKILL in the middle of eight streams: each goes on with the memory that it had at its last write."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import grpc
import pytest

from tests.survival.cameras import Camera, count_written, process, scores
from tta_service.wire.v1 import tta_pb2 as pb

STREAMS, OFTEN = 8, 3


async def test_killed_in_the_middle_every_stream_goes_on_from_its_last_write(tmp_path: Path):
    async with process(tmp_path, sessions__write_frames=OFTEN) as (server, stub):
        cameras = [Camera(stub, number) for number in range(STREAMS)]
        for camera in cameras:
            assert (await camera.open(session_id=f"camera-{camera.number}")).frames == 0
        sending = [asyncio.create_task(sends(camera)) for camera in cameras]
        listening = [asyncio.create_task(camera.listen()) for camera in cameras]
        while count_written(tmp_path) < STREAMS:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.02)
        server.signal(signal.SIGKILL)
        assert await server.ended() == -signal.SIGKILL
        for result in await asyncio.gather(*listening, return_exceptions=True):
            assert isinstance(result, grpc.aio.AioRpcError), "the stream should have been cut off"
        for task in sending:
            task.cancel()
        assert any(camera.sent > max(camera.answers, default=0) for camera in cameras), "no frame was under way"

    async with process(tmp_path) as (_, stub):
        for before in cameras:
            after, whole = Camera(stub, before.number), Camera(stub, before.number)
            status = await after.open(session_id=f"camera-{before.number}")
            last = status.last_frame_id  # of what it remembers, which the first reply tells
            assert status.origin == pb.SessionStatus.ORIGIN_RESTORED
            assert OFTEN <= last == status.frames <= before.sent
            await whole.open()
            expected = {number: scores(await whole.frame(number)) for number in range(1, last + 4)}
            for number, answer in before.answers.items():
                if number in expected:
                    assert scores(answer) == pytest.approx(expected[number], abs=1e-3)
            for number in range(last + 1, last + 4):
                answer = await after.frame(number)
                assert scores(answer) == pytest.approx(expected[number], abs=1e-3)
                assert answer.response.session.frames == number
            fresh = Camera(stub, before.number)
            await fresh.open()
            assert scores(await fresh.frame(last + 3)) != pytest.approx(expected[last + 3], abs=1e-3)


async def sends(camera: Camera) -> None:
    """More than the service takes, until it is gone."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async for _ in camera.keep_sending():
            pass
