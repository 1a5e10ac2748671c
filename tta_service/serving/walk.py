"""One request's way from image to report."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..core.errors import DeadlineTooShort
from ..core.labels import TextSpace
from ..core.request import Degraded, Report, Request, SessionStatus
from ..core.strategy import Needs, Scope, Strategy, completed, predicts_first
from .answering import Answer, Seen, answering, begun
from .backlog import Backlog
from .budgets import Budget
from .lanes import Lanes, run
from .places import Place
from .sight import Eyes, Sight
from .stopwatch import Stopwatch
from .text_spaces import TextSpaces
from .visits import Visit


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


class Walk:
    """A request inside the hallway: text, sight, the turn at its memory, adapt."""

    def __init__(
        self, rooms: Rooms, request: Request, visit: Visit, watch: Stopwatch, place: Place, budget: Budget
    ) -> None:
        self._rooms, self._request, self._visit, self._watch = rooms, request, visit, watch
        self._place, self._budget = place, budget
        self._sight = Sight(rooms.eyes, request, watch)
        self._worked = 0.0  # seconds of adapt, of waiting for text and for turns

    async def report(self) -> Report:
        """Raises a `TTAError`. Of a cascade's second strategy nothing is heard when there is no time for it."""
        began, request = time.monotonic(), self._request
        text = await self._text()
        first = told = await self._ask(request.strategy, text)
        cascade, escalated = request.cascade, False
        plain = first.degraded is not None and first.degraded.zero_shot  # all turns are given up
        if cascade is not None and not plain and first.said.surety > cascade.above:
            told = await self._escalated(cascade.to, text, first)
            escalated = told.strategy is cascade.to
        self._rooms.eyes.costs.passed(time.monotonic() - began - self._worked - self._sight.worked)
        return Report(
            request=request,
            strategy=told.strategy,
            logits=told.said.logits,
            zero_shot=told.said.zero_shot,
            views=told.views,
            seconds=self._watch.seconds(),
            batch_rows=self._sight.batch_rows,
            session=told.status,
            degraded=told.degraded,
            escalated=escalated,
            explanation=told.said.explanation,
            unseen=text.unseen,
            feature=told.said.feature,
        )

    async def _text(self) -> TextSpace:
        self._watch.before("text")
        text = await self._rooms.text_spaces.get(self._request.labels)
        self._worked += self._watch.lap("text")
        return text

    async def _escalated(self, to: Strategy[Any], text: TextSpace, first: Told) -> Told:
        """The first answer stands, and says so, when there is no time for another one."""
        needs = to.needs()
        self._place.resize(self._place.rows + self._rooms.rows_of(self._request, to, needs.views))
        if not self._budget.plan(to, time.monotonic(), self._sight.paid(needs)).plain:
            told = await self._ask(to, text)
            if told.strategy is to:
                return told
        less = Degraded(self._budget.reason, needs.views, first.views)
        return first if first.degraded else replace(first, degraded=less)

    async def _ask(self, strategy: Strategy[Any], text: TextSpace) -> Told:
        """One strategy's answer: evidence, the turn at its memory, adapt. Plain when there is no time for that."""
        needs, budget = strategy.needs(), self._budget
        plan = budget.plan(strategy, time.monotonic(), self._sight.paid(needs), self._place.late)
        if budget.bounded:
            self._place.resize(self._rooms.rows_of(self._request, strategy, plan.views))
        seen = await self._sight.seen(needs, text, plan)
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
        self._worked += watch.lap("turn")
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
        self._worked += lap if strategy.needs().gradient else said.seconds  # waiting for the tune lane is known before
        self._rooms.eyes.costs.adapted(strategy, len(self._request.labels.names), views, said.seconds)
