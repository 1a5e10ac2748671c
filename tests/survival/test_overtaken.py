"""Two servers with one store: the one that takes a session over has it, and the other learns of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.survival.cameras import Camera, count_written, start_service
from tta_service.wire.v1 import tta_pb2 as pb


async def test_a_server_whose_session_moved_drops_it_and_names_the_new_server(tmp_path: Path):
    async with start_service(tmp_path, sessions__write_frames=2) as (_, one), start_service(tmp_path) as (second, two):
        old, new = Camera(one), Camera(two)
        await old.open(session_id="door")
        for number in (1, 2):
            await old.frame(number)
        while not count_written(tmp_path):  # noqa: ASYNC110 - the write is the server's own affair
            await asyncio.sleep(0.01)
        status = await new.open(session_id="door")
        assert (status.origin, status.last_frame_id) == (pb.SessionStatus.ORIGIN_RESTORED, 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            for number in (3, 4):
                await old.frame(number)
            await old.listen()
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert f"moved to {second.address}" in str(caught.value.details())
        assert (await new.frame(3)).response.session.frames == 3
        back = Camera(one)
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await one.GetSession(pb.GetSessionRequest(session_id="door"))
        await new.end()
        assert (await back.open(session_id="door")).frames == 3
