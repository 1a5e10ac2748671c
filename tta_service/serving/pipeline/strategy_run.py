"""One strategy's answer to a request: its evidence, the turn at its memory, adapt; or plain, when there is no time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...core.errors import DeadlineTooShort
from ...core.labels import TextSpace
from ...core.request import Degraded, Request, SessionStatus
from ...core.strategy import Needs, Scope, Strategy, completed, predicts_first
from ..admission.tickets import Place
from ..concurrency.executors import Lanes, run
from ..sessions.scope import Visit
from ..text.cache import TextSpaces
from .backlog import Backlog
from .deadline import Budget
from .encoding import Eyes, Sight
from .run_strategy import Answer, Seen, answering, begun
from .stage_timer import Stopwatch


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a request passes through: shared by all."""

    eyes: Eyes
    text_spaces: TextSpaces
    lanes: Lanes
    tuning: Backlog  # of the tune lane
    explains: Callable[[Request, Strategy[Any]], bool]
    rows_of: Callable[[Request, Strategy[Any], int], int]  # of so many views


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """One strategy's answer, and how it came about."""

    said: Answer
    status: SessionStatus
    strategy: Strategy[Any]  # that really answered
    views: int
    degraded: Degraded | None = None


class Asking:
    """The strategies of one request, asked one after the other: they share its image, its place and its visit.

    `worked`: seconds of adapt and of waiting for turns.
    """

    def __init__(
        self, rooms: Rooms, request: Request, visit: Visit, watch: Stopwatch, place: Place, budget: Budget
    ) -> None:
        self._rooms, self._request, self._visit, self._watch = rooms, request, visit, watch
        self._place, self._budget = place, budget
        self.sight, self.worked = Sight(rooms.eyes, request, watch), 0.0

    async def ask(self, strategy: Strategy[Any], text: TextSpace) -> Told:
        """One strategy's answer: evidence, the turn at its memory, adapt. Plain when there is no time for that."""
        needs, budget = strategy.needs(), self._budget
        plan = budget.plan(strategy, time.monotonic(), self.sight.paid(needs), self._place.late)
        if budget.bounded:
            self._place.resize(self._rooms.rows_of(self._request, strategy, plan.views))
        seen = await self.sight.seen(needs, text, plan)
        asked = budget.views(needs)
        try:
            if plan.plain or seen.count < plan.fewest:
                raise TimeoutError
            said, status = await self._adapted(strategy, needs, seen, text, budget.until(strategy, seen.count))
        except TimeoutError:
            if plan.whole:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left") from None
            return await self._plainly(needs, seen, text)
        less = Degraded(budget.reason, asked, seen.count) if seen.count < asked else None
        return Told(said, status, strategy, seen.count, less)

    async def _adapted(
        self, strategy: Strategy[Any], needs: Needs, seen: Seen, text: TextSpace, until: float
    ) -> tuple[Answer, SessionStatus]:
        """TimeoutError when it cannot begin by `until`: then the memory is untouched."""
        watch, visit, rooms, labels = self._watch, self._visit, self._rooms, self._request.labels
        watch.before("turn")
        lane = rooms.lanes.tune if needs.gradient else rooms.lanes.adapt
        explain = rooms.explains(self._request, strategy)
        work = partial(answering, strategy, needs, seen, text, explain)
        turn, memory = visit.turn(strategy), None
        async with asyncio.timeout(None if math.isinf(until) else max(0.0, until - time.monotonic())):
            if turn is not None:
                await turn.comes()
                await turn.begin(lane, partial(begun, strategy, text), visit.admit)
            elif needs.memory is Scope.LABELS:
                memory = await rooms.text_spaces.memory(strategy, labels)
        self.worked += watch.lap("turn")
        watch.before("adapt")
        expected = rooms.eyes.costs.adapt(strategy, len(labels.names), seen.count).likely
        if time.monotonic() + (rooms.tuning.seconds if needs.gradient else 0.0) > until:
            raise TimeoutError
        over = rooms.tuning.add(expected if needs.gradient else 0.0)
        if turn is None:
            doing = run(lane, lambda: completed(work(memory)))
            doing.add_done_callback(over)
            said, _ = await doing
            status = visit.answered()
        else:
            early = predicts_first(strategy)
            heard = turn.adapt(lane, work, lambda: visit.answered(turn.kept.tell_anew()), early, over)
            said, status = await heard
        self._heard(strategy, seen.count, said)
        if needs.gradient:
            rooms.text_spaces.differentiated(labels)
        return said, status

    async def _plainly(self, needs: Needs, seen: Seen, text: TextSpace) -> Told:
        """Zero-shot on the plain view; turns are given up and no memory hears of it."""
        self._visit.give_up()
        self._watch.before("adapt")
        strategy, one = self._rooms.eyes.costs.plain, replace(seen, count=1, kept=None, again=None)
        explain = self._request.explain
        work = partial(answering, strategy, strategy.needs(), one, text, explain)
        said, _ = await run(self._rooms.lanes.adapt, lambda: completed(work(None)))
        self._heard(strategy, 1, said)
        less = Degraded(self._budget.reason, self._budget.views(needs), 1, zero_shot=True)
        return Told(said, self._visit.answered(seen=False), strategy, 1, less)

    def _heard(self, strategy: Strategy[Any], views: int, said: Answer) -> None:
        lap = self._watch.lap("adapt")
        self.worked += lap if strategy.needs().gradient else said.seconds  # waiting for the tune lane is known before
        self._rooms.eyes.costs.adapted(strategy, len(self._request.labels.names), views, said.seconds)
