"""Messages of unary calls are counted before they are read, fairly by client, and have a time to arrive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.half_sent import half_sent_calls
from tests.patience import PATIENCE
from tta_service.core.errors import BadImage, BadRequest, Overloaded
from tta_service.core.events import Called
from tta_service.methods.flow_control import BAD, LONGEST
from tta_service.methods.uploads import LARGE, WAITING, UploadBudget
from tta_service.rpc.server import Server

from .conftest import open_harness, question, until

CLASSIFY, CHECK = "/tta.v1.AdaptationService/Classify", "/grpc.health.v1.Health/Check"
WINDOW = 65_535  # bytes of a message that wait unread on their way


async def never() -> bytes:
    await asyncio.Event().wait()
    return b""


def give(size: int) -> Callable[[], Awaitable[bytes]]:
    async def receive() -> bytes:
        return bytes(size)

    return receive


@pytest.mark.parametrize("calls", [20, 40])
async def test_half_sent_calls_hold_no_more_than_one_clients_share(calls: int):
    limits = {"message_bytes": 1 << 20, "all_calls_bytes": 4 << 20, "message_seconds": 1.0}
    async with (
        open_harness(**limits) as harness,
        half_sent_calls(f"127.0.0.1:{harness.port}", CLASSIFY, calls, 1 << 20, 1_000_000) as attack,
    ):
        await until(lambda: attack.arrived >= 2_000_000)
        await asyncio.sleep(0.2)
        assert attack.arrived <= 2_000_000 + calls * WINDOW
        assert (await HealthStub(harness.channel).Check(HealthCheckRequest(), timeout=PATIENCE)).status
        await until(lambda: len(attack.ended) == calls)  # they waited for room, or took too long
        assert (await harness.stub.Classify(question())).top
        codes = [
            call.code for call in harness.of(Called) if call.method == "Classify" and call.code not in (None, "OK")
        ]
        assert set(codes) == {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} and len(codes) == calls


async def test_half_sent_health_checks_end_and_leave_calls_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tta_service.rpc.server.PROBE_SECONDS", 0.3)
    async with (
        open_harness(message_bytes=1 << 20) as harness,
        half_sent_calls(f"127.0.0.1:{harness.port}", CHECK, 60, 1 << 20, 1_000_000) as attack,
    ):
        await until(lambda: attack.arrived >= 4_000_000)
        assert (await harness.stub.Classify(question())).top
        assert attack.arrived <= 4_000_000 + 60 * WINDOW
        await until(lambda: len(attack.ended) == 60)
        assert (await HealthStub(harness.channel).Check(HealthCheckRequest(), timeout=PATIENCE)).status


async def test_a_call_without_a_message_is_the_callers_mistake():
    async with open_harness() as harness:
        call = harness.channel.stream_unary(CLASSIFY)(iter(()))
        with pytest.raises(grpc.aio.AioRpcError, match="none came") as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_clients_take_turns_for_room():
    budget, order = UploadBudget(1, total_bytes=2, share=0.5), list[str]()

    async def call(client: str) -> None:
        async with budget.read(client, give(1)):
            order.append(client)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(call(client) for client in "aaaaabb"))
    assert order[:4] in (list("abab"), list("abba")) and (budget.bytes, budget.waiting) == (0, 0)


async def test_a_message_counts_what_it_has_once_it_is_there():
    budget = UploadBudget(100, total_bytes=1000)
    async with budget.read("a", give(7)) as message:
        assert (len(message), budget.bytes) == (7, 7)
    assert budget.bytes == 0


async def test_a_message_above_all_bounds_is_read_alone():
    budget = UploadBudget(100, total_bytes=10, seconds=0.05)
    async with budget.read("a", give(100)):
        assert budget.bytes == 100
        with pytest.raises(Overloaded, match=r"no room for your message within 0\.05 s"):
            async with budget.read("b", give(1)):
                pass
    assert budget.bytes == budget.waiting == 0


async def test_a_message_that_does_not_arrive_makes_room():
    budget = UploadBudget(1, total_bytes=1, seconds=0.05)
    with pytest.raises(BadRequest, match=r"did not arrive within 0\.05 s"):
        async with budget.read("a", never):
            pass
    async with budget.read("a", give(1)):
        assert budget.bytes == 1


async def test_calls_that_end_while_they_wait_leave_nothing_behind():
    budget = UploadBudget(1, total_bytes=1)

    async def call() -> None:
        async with budget.read("a", never):
            pass

    calls = [asyncio.create_task(call()) for _ in range(WAITING + 1)]
    await asyncio.sleep(0)
    assert (budget.bytes, budget.waiting) == (1, WAITING)
    with pytest.raises(Overloaded, match="calls of yours wait already"):
        async with budget.read("a", give(1)):
            pass
    for task in calls:
        task.cancel()
        await asyncio.sleep(0)  # the next one is granted what this one had, and cancelled in turn
    await asyncio.gather(*calls, return_exceptions=True)
    assert (budget.bytes, budget.waiting) == (0, 0)
    async with budget.read("a", give(1)):
        pass


async def test_large_messages_in_vain_slow_down_their_client_until_it_sends_good_ones(monkeypatch: pytest.MonkeyPatch):
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("tta_service.methods.uploads.asyncio.sleep", sleep)
    budget = UploadBudget()

    async def send(client: str, size: int, error: Exception | None = None) -> None:
        with contextlib.suppress(BadImage, BadRequest):
            async with budget.read(client, give(size)):
                if error:
                    raise error

    for _ in range(100):
        await send("greedy", LARGE + 1, BadImage("no picture"))
        await send("gate", LARGE, BadRequest("a mistake that cost nothing"))
    assert len(waits) == 99 and waits[:BAD] == [0.0] * BAD and waits[-1] == LONGEST
    await send("gate", LARGE + 1)
    assert len(waits) == 99
    for _ in range(100):
        await send("greedy", 10)
    waits.clear()
    await send("greedy", LARGE + 1)
    assert not waits


async def test_connections_above_the_limit_are_closed_and_the_others_go_on():
    server = Server(connections=3)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            check = HealthStub(channel).Check
            await check(HealthCheckRequest(), timeout=PATIENCE)
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            closed = 0
            for reader, _ in silent:  # the server speaks first, unless it hangs up
                with contextlib.suppress(ConnectionError, TimeoutError):
                    closed += not await asyncio.wait_for(reader.read(1), 0.3)
            assert closed >= 7
            await check(HealthCheckRequest(), timeout=PATIENCE)
            for _, writer in silent:
                writer.transport.abort()
        finally:
            await server.stop(0.0)
