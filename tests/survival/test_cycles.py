"""Two hundred random streams at a real server: whatever cameras do, nothing of them stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import grpc
import psutil
from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.patience import PATIENCE
from tests.survival.cameras import (
    BLOCK,
    LABELS,
    LATEST,
    count_written,
    frame,
    make_opening,
    most_running_rows,
    picture,
    start_service,
)
from tests.survival.wires import Wire, wire
from tta_service.app import Application
from tta_service.methods.stream import StreamHandler
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.serving.sessions.memory import MemorySlot
from tta_service.serving.sessions.session import Session
from tta_service.serving.sessions.turns import Turn
from tta_service.wire.v1 import tta_pb2 as pb

CYCLES = 200
KINDS = (Session, MemorySlot, Turn, StreamHandler)  # what a stream is made of
OURS = "_AioCall."  # grpcio's client waits without end for the status of some calls whose connection was cut
POLICIES = (BLOCK, LATEST, pb.OpenStream.POLICY_DROP_OLDEST, pb.OpenStream.POLICY_DROP_NEWEST)
NAMES, NAMED = st.sampled_from(["", "", "a", "b"]), st.sampled_from(["a", "b"])
STRATEGIES = st.sampled_from(["tda", "tda", "dota", "zero_shot"])
EXPECTED = (  # how a stream or a call may end here; anything else is a fault
    grpc.StatusCode.ABORTED,  # taken over
    grpc.StatusCode.NOT_FOUND,  # closed by its owner
    grpc.StatusCode.FAILED_PRECONDITION,  # to be restored while it is in use
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
HURRY = (Phase.generate,)  # the timing of a server varies, so a failing run cannot be made shorter
Ending = Literal["done", "gone", "cancelled", "hung up", "torn"]
PICTURE, BROKEN = picture(1), picture(2)[:-200]


class World:
    """A service, and what it held before the first stream."""

    def __init__(self, runner: asyncio.Runner, service: Application, stub: AdaptationServiceStub, store: Path) -> None:
        self.run, self.service, self.stub, self.store = runner.run, service, stub, store
        self.cycles, self.endings = 0, Counter[str]()
        self.before = self.run(self.count_held())

    async def count_held(self) -> dict[str, int]:
        gc.collect()
        alive = Counter(type(one) for one in gc.get_objects() if type(one) in KINDS)
        names = [str(task.get_coro().__qualname__) for task in asyncio.all_tasks() - {asyncio.current_task()}]
        tasks = Counter(f"task {name}" for name in names if not name.startswith(OURS))
        return {kind.__name__: alive[kind] for kind in KINDS} | tasks | {"files": psutil.Process().num_fds()}

    async def left(self) -> dict[str, int]:
        """What is held beyond that, once grpc has ended its own calls."""
        for patience in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0):
            await asyncio.sleep(patience)
            held = await self.count_held()
            if not (left := {what: count for what, count in held.items() if count > self.before.get(what, 0)}):
                break
        return left

    def number(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


class ConnectedCamera:
    """A camera of this test: its wire, its stream, and what it has sent."""

    def __init__(self, through: Wire, policy: Any = BLOCK) -> None:
        self.policy, self.wire, self.call = policy, through, AdaptationServiceStub(through.channel).ClassifyStream()
        self.sent = self.received = 0
        self.over = False

    async def send(self, *messages: pb.ClassifyStreamRequest) -> None:
        """Writing to a stream that is over fails with grpcio's own error; the status of the server is read here."""
        try:
            for message in messages:
                await self.call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.over = True

    async def read_until(self, newest: int) -> None:
        """Replies until the newest frame has had its own, or the stream is over."""
        if self.policy == pb.OpenStream.POLICY_DROP_NEWEST:
            newest = min(1, newest)  # any later one may have been dropped
        while self.received < newest and not self.over:
            reply = await self.call.read()
            self.over = reply is grpc.aio.EOF
            if not self.over and (kind := reply.WhichOneof("kind")) in ("answer", "error"):
                self.received = getattr(reply, kind).frame_id

    async def end(self, how: Ending) -> None:
        if how in ("done", "gone") and not self.over:
            await self.call.done_writing()
        while how == "done" and not self.over:
            self.over = await self.call.read() is grpc.aio.EOF
        if how == "torn":
            self.wire.tear()
        if how == "cancelled":
            self.call.cancel()
        await self.wire.close()


class Cycles(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.cameras = world, list[ConnectedCamera]()
        self.snapshots: dict[str, pb.SessionSnapshot] = {}

    def run(self, what: Coroutine[Any, Any, Any]) -> None:
        async def within() -> None:
            with expect_endings(self.world.endings):
                async with asyncio.timeout(PATIENCE):
                    await what

        self.world.run(within())

    def camera(self, which: int) -> ConnectedCamera:
        return self.cameras[which % len(self.cameras)]

    @precondition(lambda self: len(self.cameras) < 6)
    @rule(
        name=NAMES, strategy=STRATEGIES, policy=st.sampled_from(POLICIES), frames=st.integers(0, 3), waits=st.booleans()
    )
    def a_camera_connects(self, name: str, strategy: str, policy: Any, frames: int, waits: bool) -> None:
        async def connect() -> None:
            camera = ConnectedCamera(await wire(self.world.service.address), policy)
            self.cameras.append(camera)
            first = make_opening(strategy, policy=policy, session_id=name, buffer=2)
            await camera.send(first, *(frame(number + 1, PICTURE) for number in range(frames)))
            camera.sent = frames
            if waits and not camera.over:
                await camera.call.read()

        self.world.cycles += 1
        self.run(connect())

    @precondition(lambda self: self.cameras)
    @rule(which=st.integers(0, 5), many=st.integers(1, 4), image=st.sampled_from([PICTURE, PICTURE, BROKEN]))
    def it_sends(self, which: int, many: int, image: bytes) -> None:
        camera = self.camera(which)
        numbers = range(camera.sent + 1, camera.sent + many + 1)
        camera.sent += many
        self.run(camera.send(*(frame(number, image) for number in numbers)))

    @precondition(lambda self: self.cameras)
    @rule(which=st.integers(0, 5), fewer=st.integers(0, 2))
    def it_listens(self, which: int, fewer: int) -> None:
        camera = self.camera(which)
        self.run(camera.read_until(camera.sent - fewer))

    @precondition(lambda self: self.cameras)
    @rule(which=st.integers(0, 5), how=st.sampled_from(["done", "gone", "cancelled", "hung up", "torn"]))
    def it_ends(self, which: int, how: Ending) -> None:
        camera = self.cameras.pop(which % len(self.cameras))
        self.run(camera.end(how))
        self.run(camera.wire.close())

    @rule(name=NAMES, strategy=STRATEGIES, patience=st.sampled_from([None, None, 0.001, 0.01]))
    def ask_once(self, name: str, strategy: str, patience: float | None) -> None:
        request = pb.ClassifyRequest(image=pb.Image(encoded=PICTURE), labels=LABELS, session_id=name)
        request.options.strategy.name = strategy

        async def ask() -> None:
            await self.world.stub.Classify(request, timeout=patience)

        self.run(ask())

    @rule(name=NAMED, what=st.sampled_from(["reset", "close", "snapshot", "restore"]))
    def the_owner_manages_a_session(self, name: str, what: str) -> None:
        async def manage() -> None:
            world, snapshots = self.world, self.snapshots
            if what == "reset":
                await world.stub.ResetSession(pb.ResetSessionRequest(session_id=name))
            elif what == "close":
                await world.stub.CloseSession(pb.CloseSessionRequest(session_id=name))
            elif what == "snapshot":
                reply = await world.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id=name))
                snapshots[name] = reply.snapshot
            elif name in snapshots:
                await world.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshots[name], roll_back=True))

        self.run(manage())

    @invariant()
    def counts_agree(self) -> None:
        parts = self.world.service.runtime
        counters, sessions = parts.sessions.counters, parts.sessions.registry.open_sessions
        assert counters.sessions == len(sessions)
        assert counters.bytes == sum(session.bytes for session in sessions) == sum(counters.bytes_by_strategy.values())
        assert counters.streams == sum(session.lease_lost is not None for session in sessions)
        assert all(session.holds >= 0 for session in sessions)
        assert 0 <= parts.admission.running_rows <= most_running_rows(self.world.service)

    def teardown(self) -> None:
        """Close all streams and the sessions that outlive them: the server holds what it held before."""
        while self.cameras:
            self.it_ends(0, ("torn", "cancelled", "hung up")[len(self.cameras) % 3])
        parts = self.world.service.runtime
        self.settles(
            lambda: parts.sessions.counters.streams == parts.admission.running_requests == parts.admission.waiting == 0
        )
        self.settles(
            lambda: all(session.evictable and session.named for session in parts.sessions.registry.open_sessions)
        )
        for session in parts.sessions.registry.open_sessions:
            self.run(self.world.stub.CloseSession(pb.CloseSessionRequest(session_id=session.id)))
        assert parts.sessions.counters.sessions == parts.sessions.counters.bytes == 0
        assert self.world.number("tta_queue_bytes", queue="streams") == 0
        self.settles(lambda: count_written(self.world.store) == 0)

    def settles(self, true: Callable[[], bool]) -> None:
        async def settling() -> None:
            async with asyncio.timeout(PATIENCE):
                while not true():  # noqa: ASYNC110 - a server does not announce it
                    await asyncio.sleep(0.002)

        self.world.run(settling())


@contextlib.contextmanager
def expect_endings(endings: Counter[str]) -> Any:
    """A stream may end, a call fail: counted. The wire to it may be torn."""
    try:
        yield
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.CANCELLED
        assert code in EXPECTED, error
        endings[code.name] += 1


def test_two_hundred_random_cycles_leave_nothing_behind(tmp_path: Path):
    with asyncio.Runner() as runner:
        leaving = contextlib.AsyncExitStack()
        service, stub = runner.run(leaving.enter_async_context(start_service(tmp_path, sessions__write_frames=2)))
        try:
            runner.run(warm(service, stub))
            world = World(runner, service, stub, tmp_path)
            random = settings(max_examples=6, stateful_step_count=50, deadline=None, database=None, phases=HURRY)
            numbers = itertools.count()
            while world.cycles < CYCLES:
                run_state_machine_as_test(seed(next(numbers))(lambda: Cycles(world)), settings=random)
            left = runner.run(world.left())
            assert not left, "more is held than before"
            assert sum(world.endings.values()), "no stream was ended by the server"
        finally:
            runner.run(leaving.aclose())


async def warm(service: Application, stub: AdaptationServiceStub) -> None:
    """What is made once is made now: label sets, memories' code, grpc's own threads and files."""
    camera = ConnectedCamera(await wire(service.address))
    await camera.send(make_opening("tda"), frame(1, PICTURE))
    await camera.read_until(1)
    await camera.end("done")
    await stub.ListSessions(pb.ListSessionsRequest())
