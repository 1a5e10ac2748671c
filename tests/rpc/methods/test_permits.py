"""Work beside answers is bounded, and one client's leaves room for others'."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.rpc.conftest import LABELS, open_harness, question
from tests.serving.harness import settle
from tta_service.core.errors import Overloaded
from tta_service.methods.permits import PERMITS, NeedsPermits, with_permit
from tta_service.serving.admission.controller import AdmissionController
from tta_service.wire.identity import Caller, Role, set_caller
from tta_service.wire.v1 import tta_pb2 as pb


class Slow(NeedsPermits):
    def __init__(self) -> None:
        self.permits, self.running, self.go = AdmissionController(PERMITS, max_waiting=8), list[str](), asyncio.Event()

    @with_permit
    async def work(self, request: str, context: Any) -> str:
        self.running.append(request)
        await self.go.wait()
        return request


async def test_one_client_has_so_many_permits_and_no_more_wait_than_there_is_room_for():
    slow = Slow()

    async def ask(client: str) -> str:
        set_caller(Caller(client, Role.INFER, client))
        return await slow.work(client, None)

    greedy = [asyncio.create_task(ask("greedy")) for _ in range(PERMITS + 8)]
    await settle()
    assert slow.running == ["greedy"] * PERMITS
    with pytest.raises(Overloaded):
        await asyncio.create_task(ask("greedy"))
    gate = asyncio.create_task(ask("gate"))
    await settle()
    assert slow.running[-1] == "gate"
    slow.go.set()
    done = await asyncio.gather(gate, *greedy, return_exceptions=True)
    assert [each for each in done if isinstance(each, Overloaded)] == [done[-1]]  # the newest one gave way


async def test_one_client_opens_so_many_streams_and_sessions():
    async with open_harness(client_streams=2, owner_sessions=3) as harness:
        calls = list[Any]()
        for name in "abc":
            calls.append(harness.stub.ClassifyStream())
            await calls[-1].write(pb.ClassifyStreamRequest(open=pb.OpenStream(labels=LABELS, session_id=name)))
            if name != "c":
                await calls[-1].read()
        assert await calls[-1].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2 streams of yours" in await calls[-1].details()
        await harness.stub.Classify(question(session_id="d"))
        await harness.stub.Classify(question(session_id="e"))  # a stream that has sent nothing gave way
        sessions = await harness.stub.ListSessions(pb.ListSessionsRequest())
        assert [one.session_id for one in sessions.sessions] == ["b", "d", "e"]
        for call in calls:
            call.cancel()
