"""Runs one admitted request: its text space, its strategy, a cascade's second strategy, the report."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ...core.labels import TextSpace
from ...core.request import Degraded, Report, Request
from ...core.strategy import Strategy
from ..admission.wait_queue import Permit
from ..sessions.scope import SessionScope
from .deadline import Planner
from .requirements import cost_of, rows_needed
from .stage_timer import StageTimer
from .strategy_run import Resources, StrategyResult, StrategyRun


class RequestRun:
    """One run of one request; `permit` holds its rows, `scope` its turns."""

    def __init__(
        self,
        resources: Resources,
        request: Request,
        scope: SessionScope,
        timer: StageTimer,
        permit: Permit,
        planner: Planner,
    ) -> None:
        self._resources, self._request, self._timer = resources, request, timer
        self._permit, self._planner = permit, planner
        self._strategy_run = StrategyRun(resources, request, scope, timer, permit, planner)
        self._text_seconds = 0.0

    async def report(self) -> Report:
        """Runs the request. Raises a `TTAError`. A cascade without time for its second strategy reports the first."""
        began, request = time.monotonic(), self._request
        text = await self._text_space()
        first = result = await self._strategy_run.run(request.strategy, text)
        cascade, escalated = request.cascade, False
        zero_shot_only = (
            first.degraded is not None and first.degraded.zero_shot
        )  # its turns are released, so no second strategy
        if cascade is not None and not zero_shot_only and first.answer.relative_entropy > cascade.above:
            result = await self._escalate(cascade.to, text, first)
            escalated = result.strategy is cascade.to
        accounted = self._text_seconds + self._strategy_run.busy_seconds + self._strategy_run.encoding.busy_seconds
        self._resources.encoder.costs.learn_overhead(time.monotonic() - began - accounted)
        return Report(
            request=request,
            strategy=result.strategy,
            logits=result.answer.logits,
            zero_shot=result.answer.zero_shot,
            views=result.views,
            seconds=self._timer.seconds(),
            batch_rows=self._strategy_run.encoding.batch_rows,
            session=result.status,
            degraded=result.degraded,
            escalated=escalated,
            explanation=result.answer.explanation,
            unseen=text.unseen,
            feature=result.answer.feature,
        )

    async def _text_space(self) -> TextSpace:
        self._timer.check_deadline("text")
        text = await self._resources.text_spaces.get(self._request.labels)
        self._text_seconds += self._timer.lap("text")
        return text

    async def _escalate(self, to: Strategy[Any], text: TextSpace, first: StrategyResult) -> StrategyResult:
        """Runs the second strategy; without time for it, the first result stands, marked as degraded."""
        needs, permit = to.needs(), self._permit
        rows, cost = rows_needed(self._request, to), cost_of(self._request, to)
        permit.resize(permit.rows + rows, permit.cost + cost)
        if not self._planner.plan(to, time.monotonic(), self._strategy_run.encoding.work_done(needs)).zero_shot_only:
            result = await self._strategy_run.run(to, text)
            if result.strategy is to:
                return result
        degraded = Degraded(self._planner.reason, needs.views, first.views)
        return first if first.degraded else replace(first, degraded=degraded)
