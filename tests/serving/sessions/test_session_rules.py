"""Random sequences of calls on sessions: no bytes leak, no frame overtakes another, each session ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.serving.harness import make_request, settle
from tests.serving.manual_executor import Last, ManualExecutor
from tests.serving.toys import Diary
from tta_service.core.errors import MemoryFull, UnknownSession
from tta_service.core.events import Closed
from tta_service.serving.sessions.lease import SessionLease
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.serving.sessions.session import Session
from tta_service.serving.sessions.sessions import Sessions

SIZE = 8
OWNERS, NAMES = st.sampled_from(["ann", "bob"]), st.sampled_from(["", "a", "b"])
STRATEGIES = st.sampled_from([Diary(), Diary(views=2)])


class SessionCalls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now, self.number, self.ended = 0.0, 0, list[Closed]()
        limits = MemoryLimits(session=2 * SIZE, owner=3 * SIZE, total=4 * SIZE, sessions=5)
        self.sessions = Sessions(10.0, limits, self.ended.append, lambda: self.now)
        self.lane = ManualExecutor()
        self.tasks: list[asyncio.Task[None]] = []
        self.streams: list[SessionLease] = []
        self.born: dict[int, Session] = {}

    def run(self, what: Callable[[], Any] = lambda: None) -> None:
        async def doing() -> None:
            what()
            await settle()

        self.loop.run_until_complete(doing())

    def note_open(self) -> None:
        """Called after each opening, to count the sessions that were ever open."""
        self.born.update((id(session), session) for session in self.sessions.registry.open_sessions)

    async def frame(self, owner: str, name: str, strategy: Diary, number: int, fails: bool) -> None:
        def work(memory: Last, deliver: Callable[[int], None]) -> tuple[int, Last]:
            assert number > memory.number, "a frame was overtaken"
            if fails:
                raise ZeroDivisionError
            return number, Last(torch.tensor(number))

        with (
            suppress(MemoryFull, ZeroDivisionError),
            self.sessions.scope(make_request(0, strategy, owner=owner, session=name)) as scope,
        ):
            self.note_open()
            turn = scope.turn(strategy)
            assert turn is not None
            await turn.wait()
            await turn.begin(self.lane, lambda: Last(torch.tensor(-1)), scope.admit)
            await turn.adapt(self.lane, work, scope.count_frame)

    @rule(owner=OWNERS, name=NAMES, strategy=STRATEGIES, fails=st.sampled_from([False, False, True]))
    def a_frame_comes(self, owner: str, name: str, strategy: Diary, fails: bool) -> None:
        self.number += 1
        coming = self.frame(owner, name, strategy, self.number, fails)
        self.run(lambda: self.tasks.append(self.loop.create_task(coming)))

    @rule(which=st.integers(0, 7))
    def a_caller_leaves(self, which: int) -> None:
        if self.tasks:
            self.run(self.tasks.pop(which % len(self.tasks)).cancel)

    @rule()
    def the_lane_does_one_step(self) -> None:
        if self.lane.work:
            self.run(self.lane.step)

    @rule(owner=OWNERS, name=NAMES)
    def a_stream_opens(self, owner: str, name: str) -> None:
        def opening() -> None:
            with suppress(MemoryFull):
                stream = self.sessions.lease(owner, name)
                self.note_open()
                self.streams.append(stream)

        self.run(opening)

    @rule(which=st.integers(0, 7))
    def a_stream_ends(self, which: int) -> None:
        if self.streams:
            stream = self.streams.pop(which % len(self.streams))
            self.run(lambda: stream.__exit__(None, None, None))

    @rule(owner=OWNERS, name=NAMES)
    def the_owner_resets(self, owner: str, name: str) -> None:
        async def resetting() -> None:
            with suppress(UnknownSession):
                await self.sessions.reset(owner, name)

        self.run(lambda: self.tasks.append(self.loop.create_task(resetting())))

    @rule(owner=OWNERS, name=NAMES)
    def the_owner_closes(self, owner: str, name: str) -> None:
        def closing() -> None:
            with suppress(UnknownSession):
                self.sessions.close(owner, name)

        self.run(closing)

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.run(self.sessions.expire)

    @invariant()
    def the_counters_agree(self) -> None:
        open_now = self.sessions.registry.open_sessions
        counters = self.sessions.counters
        assert counters.sessions == len(open_now) <= 5
        assert counters.bytes == sum(session.bytes for session in open_now) <= 4 * SIZE
        assert sum(counters.bytes_by_strategy.values()) == counters.bytes
        assert counters.streams == sum(session.lease_lost is not None for session in open_now)
        assert all(session.holds >= 0 and session.bytes <= 2 * SIZE for session in open_now)
        assert len(self.ended) == len(self.born) - len(open_now), "an end was reported twice or not at all"

    def teardown(self) -> None:
        while self.lane.work:
            self.run(self.lane.step)
        self.run()
        assert all(task.done() for task in self.tasks), "a task still waits"
        for task in self.tasks:
            if not task.cancelled():
                task.result()
        assert all(session.holds == 0 for session in self.sessions.registry.open_sessions)
        for stream in self.streams:
            stream.__exit__(None, None, None)
        self.now += 11
        self.sessions.expire()
        assert self.sessions.counters.sessions == self.sessions.counters.bytes == self.sessions.counters.streams == 0
        self.loop.close()


TestSessionCalls = SessionCalls.TestCase
TestSessionCalls.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
