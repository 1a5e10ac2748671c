"""One request's way from image to report."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ...core.labels import TextSpace
from ...core.request import Degraded, Report, Request
from ...core.strategy import Strategy
from ..admission.tickets import Place
from ..sessions.scope import Visit
from .deadline import Budget
from .requirements import cost_of
from .stage_timer import Stopwatch
from .strategy_run import Asking, Rooms, Told


class Walk:
    """A request inside the hallway: text, its strategy's answer, and that of a cascade's second one."""

    def __init__(
        self, rooms: Rooms, request: Request, visit: Visit, watch: Stopwatch, place: Place, budget: Budget
    ) -> None:
        self._rooms, self._request, self._watch, self._place, self._budget = rooms, request, watch, place, budget
        self._asking = Asking(rooms, request, visit, watch, place, budget)
        self._waited = 0.0  # seconds, for text

    async def report(self) -> Report:
        """Raises a `TTAError`. Of a cascade's second strategy nothing is heard when there is no time for it."""
        began, request = time.monotonic(), self._request
        text = await self._text()
        first = told = await self._asking.ask(request.strategy, text)
        cascade, escalated = request.cascade, False
        plain = first.degraded is not None and first.degraded.zero_shot  # all turns are given up
        if cascade is not None and not plain and first.said.surety > cascade.above:
            told = await self._escalated(cascade.to, text, first)
            escalated = told.strategy is cascade.to
        known = self._waited + self._asking.worked + self._asking.sight.worked
        self._rooms.eyes.costs.passed(time.monotonic() - began - known)
        return Report(
            request=request,
            strategy=told.strategy,
            logits=told.said.logits,
            zero_shot=told.said.zero_shot,
            views=told.views,
            seconds=self._watch.seconds(),
            batch_rows=self._asking.sight.batch_rows,
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
        self._waited += self._watch.lap("text")
        return text

    async def _escalated(self, to: Strategy[Any], text: TextSpace, first: Told) -> Told:
        """The first answer stands, and says so, when there is no time for another one."""
        needs, place = to.needs(), self._place
        rows, cost = self._rooms.rows_of(self._request, to, needs.views), cost_of(self._request, to)
        place.resize(place.rows + rows, place.cost + cost)
        if not self._budget.plan(to, time.monotonic(), self._asking.sight.paid(needs)).plain:
            told = await self._asking.ask(to, text)
            if told.strategy is to:
                return told
        less = Degraded(self._budget.reason, needs.views, first.views)
        return first if first.degraded else replace(first, degraded=less)
