"""What a lesson changes for memories: in their turns they learn it, or begin anew without the one before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch.nn.functional import normalize

from ...core.errors import ModelFault
from ...core.evidence import Evidence
from ...core.labels import TextSpace
from ...core.lesson_sums import LessonSums
from ...core.lessons import Lesson
from ...core.strategy import Strategy, apply_fit, needs_of
from ...guard import GuardedMemory, add_guard, count_lessons
from ..concurrency import Executors
from ..sessions.group_entries import Change
from ..sessions.lessons import learns, takes
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session
from ..sessions.turns import ResetTurn, Turn, TurnQueue
from ..text.cache import TextSpaceCache
from .adaptation import faults_of
from .fitting import Fitter

AT_ONCE = 10  # lessons that a memory learns before others may use the lane
log = logging.getLogger(__name__)


def begin_memory(
    strategy: Strategy[Any], text: TextSpace, lessons: Sequence[Lesson] = (), sums: Sequence[LessonSums] = ()
) -> Generator[None, None, GuardedMemory]:
    """A new memory of a session, and its guard, in steps. It has learnt sums and lessons, and is fitted to them.

    Between two steps others may use the lane. Where the lessons fail it has learnt none. Raises `ModelFault` if the
    strategy fails.
    """
    if lessons or sums:
        try:
            memory = yield from begin_memory(strategy, text)
            memory = _add_sums(strategy, text, sums, memory)
            for start in range(0, len(lessons), AT_ONCE):
                yield
                memory = learn(strategy, text, lessons[start : start + AT_ONCE], memory)
            yield
            with faults_of(strategy), torch.no_grad():
                return memory._replace(memory=apply_fit(memory.memory, strategy.fit(memory.memory, text)))
        except ModelFault:
            log.error("%s goes on without its lessons", strategy.name)  # it must not fail every frame from now on
    with faults_of(strategy), torch.no_grad():
        return add_guard(strategy.begin(text), text)


def learn(strategy: Strategy[Any], text: TextSpace, lessons: Sequence[Lesson], guarded: GuardedMemory) -> GuardedMemory:
    """The memory after lessons, whose labels are those of `text`. Raises `ModelFault` if the strategy fails."""
    device, dtype, memory = text.features.device, text.features.dtype, guarded.memory
    with faults_of(strategy), torch.no_grad():
        for lesson in lessons:
            rows = normalize(lesson.example.views.to(device, dtype), dim=-1)  # half precision has lost the unit norm
            seen = Evidence(rows, text, time=lesson.example.seen)
            label = None if lesson.label is None else text.labels.names.index(lesson.label)
            memory = strategy.teach_none(seen, memory) if label is None else strategy.teach(seen, label, memory)
    return GuardedMemory(memory, count_lessons(guarded.guard, len(lessons)))


def _add_sums(
    strategy: Strategy[Any], text: TextSpace, sums: Sequence[LessonSums], guarded: GuardedMemory
) -> GuardedMemory:
    device, memory = text.features.device, guarded.memory
    with faults_of(strategy), torch.no_grad():
        for one in sums:
            counts, rows, scatter = one.counts.to(device), one.sums.to(device), one.scatter.to(device)
            memory = strategy.add_sums(replace(one, counts=counts, sums=rows, scatter=scatter), memory)
    return GuardedMemory(memory, count_lessons(guarded.guard, len(sums)))


class Learning(NamedTuple):
    """A memory that learns in its turn; the task says whether there was something to learn."""

    session: Session
    queue: TurnQueue
    task: asyncio.Task[bool]


class Learner:
    """Applies changes to the memories of sessions. The registry passes on lessons that come from elsewhere."""

    def __init__(
        self, registry: SessionRegistry, text_spaces: TextSpaceCache, lanes: Executors, fitter: Fitter
    ) -> None:
        self._registry, self._text_spaces, self._lanes, self._fitter = registry, text_spaces, lanes, fitter
        self._tasks: set[asyncio.Task[bool]] = set()
        registry.on_lessons = self.apply

    def apply(self, sessions: Iterable[Session], changes: Sequence[Change]) -> tuple[list[TurnQueue], list[Learning]]:
        """Memories that may have learnt what is gone begin anew with their next frame; all others learn what is new."""
        gone = [change.old for change in changes if change.old is not None]
        new = [change.new for change in changes if change.new is not None]
        sums = list(chain.from_iterable(change.sums for change in changes))
        anew, learning = list[TurnQueue](), list[Learning]()
        for session in sessions:
            for queue in list(session.memories.values()):
                if concern(gone, queue) or _take(sums, queue):
                    if not queue.empty:
                        queue.enqueue(self._registry.hold(session, used=False), ResetTurn)
                        anew.append(queue)
                elif concern(new, queue):
                    learning.append(Learning(session, queue, self._learn_in_turn(session, queue)))
        return anew, learning

    def _learn_in_turn(self, session: Session, queue: TurnQueue) -> asyncio.Task[bool]:
        """A task that learns all new lessons when the memory's turn comes; it ends even when nobody waits for it."""
        turn = queue.enqueue(self._registry.hold(session, used=False))
        task = asyncio.create_task(self._learn(session, queue, turn))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was logged, and a teacher who waits gets it as well

    async def _learn(self, session: Session, queue: TurnQueue, turn: Turn) -> bool:
        """Whether the memory had something to learn. One that has not begun learns all lessons when it begins."""
        slot, strategy = turn.slot, turn.slot.key.strategy
        try:
            text = await self._text_spaces.get(slot.labels)
            await turn.wait()
            lessons, last = session.lessons.matching(slot.key, slot.learnt, slot.missed), session.lessons.last
            if not slot.begun or not lessons:
                return False

            def work(memory: Any, deliver: object) -> tuple[None, Any]:
                return None, learn(strategy, text, lessons, memory)

            def on_learnt() -> None:
                slot.learnt, slot.missed = last, frozenset[int]()

            lane = self._lanes.tune if needs_of(strategy).gradient else self._lanes.adapt
            await turn.adapt(lane, work, on_learnt)
            self._fitter.start(queue, partial(self._registry.hold, session, used=False))
            return True
        finally:
            turn.leave()


def concern(lessons: Iterable[Lesson], queue: TurnQueue) -> bool:
    """Whether the memory learns from one of the lessons."""
    return any(learns(queue.slot.key, lesson) for lesson in lessons)


def _take(sums: Iterable[LessonSums], queue: TurnQueue) -> bool:
    """Whether the memory learns from some of the sums."""
    return any(takes(queue.slot.key, one) for one in sums)
