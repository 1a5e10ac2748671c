"""Runs one admitted request: its text space, its strategy, a cascade's second strategy, the report."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from ...core.errors import DeadlineTooShort
from ...core.labels import TextSpace
from ...core.request import Degraded, Report, Request, SessionStatus
from ...core.strategy import Needs, Scope, Strategy, needs_of
from ..admission.claims import Permit
from ..concurrency import run
from ..sessions.scope import RequestScope
from .adaptation import Answer, EncodedViews, run_if_known, run_strategy
from .deadline import DeadlinePlanner, Plan
from .encoding import RequestEncoding
from .learning import begin_memory
from .resources import UNLIMITED, Resources, StageTimer, rows_needed, work_of
from .token_maps import add_tokens


@dataclass(slots=True, eq=False)
class RequestRun:
    """One run of one request. Its strategies share the encoding, the permit for its rows and the turns of its scope."""

    resources: Resources
    request: Request
    scope: RequestScope
    permit: Permit
    planner: DeadlinePlanner | None  # None: there is no deadline
    timer: StageTimer
    encoding: RequestEncoding = field(init=False)

    def __post_init__(self) -> None:
        self.encoding = RequestEncoding(self.resources, self.request, self.timer, self.scope.remembers)

    async def report(self) -> Report:
        """Runs the request. Raises a `TTAError`. A cascade without time for its second strategy reports the first."""
        began, request, resources = time.monotonic(), self.request, self.resources
        text = await resources.text_spaces.get(request.labels, request.client)
        self.timer.busy += self.timer.lap("text", before="decode")
        report = await self._run(request.strategy, text)
        cascade, degraded = request.cascade, report.degraded
        if cascade and not (degraded and degraded.zero_shot) and report.scores.relative_entropy > cascade.above:
            report = await self._escalate(cascade.to, text, report)
        resources.costs.learn_overhead(time.monotonic() - began - self.timer.busy)
        report = self.scope.conclude(report, resources.calibrator.current)
        self.scope.fit_memories(resources.fitter.start)
        return await add_tokens(report, text, resources) if report.explanation else report

    async def _run(self, strategy: Strategy[Any], text: TextSpace, fall_back: bool = True) -> Report:
        """Runs one strategy, or zero-shot on the plain view where there is no time for it or it is switched off.

        If not `fall_back`, it raises TimeoutError instead.
        Raises `DeadlineTooShort` if there is no time for that either or the request wants all or nothing, and the
        errors of `RequestEncoding.encode` and `run_strategy`.
        """
        needs, planner, zero_shot = needs_of(strategy), self.planner, False
        wanted = self.encoding.views_wanted(needs)
        plan = self._plan(strategy, needs, wanted)
        if plan.zero_shot_only and not fall_back:
            raise TimeoutError
        encoded = await self.encoding.encode(strategy, needs, text, plan)
        views, asked = encoded.count, strategy
        try:
            if plan.zero_shot_only or not encoded.suffice(plan.fewest):
                raise TimeoutError
            until = planner.adapt_by(strategy, views) if planner else math.inf
            answer, status = await self._adapt(strategy, needs, encoded, text, until)
        except TimeoutError:
            if plan.all_or_nothing:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left") from None
            if not fall_back:
                raise
            answer, status = await self._answer_zero_shot(encoded, text)
            strategy, views, zero_shot = self.resources.costs.zero_shot, 1, True
        complete = encoded.suffice(wanted) and not zero_shot
        degraded = None if complete else Degraded(self._reason(asked), wanted, views, zero_shot)
        return Report(
            request=self.request,
            strategy=strategy,
            logits=answer.logits,
            zero_shot=answer.zero_shot,
            views=views,
            seconds=self.timer.seconds(),
            batch_rows=self.encoding.batch_rows,
            session=status,
            degraded=degraded,
            explanation=answer.explanation,
            unseen=text.unseen,
            feature=answer.feature,
            example=answer.example,
            guarded=answer.guarded,
            rejected=answer.rejected,
            cosine=answer.cosine,
            thumbnail=self.encoding.thumbnail,
        )

    async def _escalate(self, to: Strategy[Any], text: TextSpace, first: Report) -> Report:
        """Runs the second strategy; without time for it, the first report stands, marked as degraded."""
        rows, cost = work_of(self.request, to)
        self.permit.resize(self.permit.rows + rows, self.permit.cost + cost)
        try:
            return replace(await self._run(to, text, fall_back=False), escalated=True)
        except TimeoutError:
            degraded = first.degraded or Degraded(self._reason(to), needs_of(to).views, first.views)
            seconds, rows = self.timer.seconds(), self.encoding.batch_rows
            return replace(first, degraded=degraded, seconds=seconds, batch_rows=rows)

    def _plan(self, strategy: Strategy[Any], needs: Needs, wanted: int) -> Plan:
        """How much to try, of a strategy that is off only zero-shot. Raises as `DeadlinePlanner.plan`."""
        enabled, planner, plan = strategy.name not in self.resources.switches.disabled, self.planner, Plan(wanted)
        if planner:
            runs, views = (strategy, wanted) if enabled else (self.resources.costs.zero_shot, 1)
            done = self.encoding.work_done(needs)
            plan = planner.plan(runs, views, time.monotonic(), done, self.permit.late)
        if not enabled:
            plan = replace(plan, views=1, zero_shot_only=True, fewest=1, all_or_nothing=False)
        if planner or not enabled:
            self.permit.resize(rows_needed(self.request, strategy, plan.views))
        return plan

    def _reason(self, strategy: Strategy[Any]) -> Literal["deadline", "overload", "disabled"]:
        if strategy.name in self.resources.switches.disabled:
            return "disabled"
        return self.planner.reason if self.planner else "overload"

    async def _adapt(
        self, strategy: Strategy[Any], needs: Needs, encoded: EncodedViews, text: TextSpace, until: float
    ) -> tuple[Answer, SessionStatus]:
        """Raises TimeoutError if adapt cannot begin by `until` (monotonic seconds); then the memory is untouched."""
        resources, scope = self.resources, self.scope
        lane = resources.lanes.tune if needs.gradient else resources.lanes.adapt
        turn, memory = scope.turn(strategy), None
        async with UNLIMITED if math.isinf(until) else asyncio.timeout(max(0.0, until - time.monotonic())):
            if turn is not None:
                await turn.wait()
                if not turn.slot.begun:
                    taught = scope.lessons_for(turn.slot), scope.sums_for(turn.slot)
                    await turn.begin(lane, partial(begin_memory, strategy, text, *taught), scope.admit)
            elif needs.memory is Scope.LABELS:
                memory = await resources.text_spaces.memory(strategy, self.request.labels)
        self.timer.busy += self.timer.lap("turn", before="adapt")
        queued = resources.queued_tuning
        if time.monotonic() + (sum(queued.values()) if needs.gradient else 0.0) > until:
            raise TimeoutError
        explain = resources.should_explain(self.request, strategy)
        work = partial(run_strategy, strategy, encoded, text, explain, self.encoding.remember, self.request.guard)
        work = partial(run_if_known, scope.lowest_admitted(), encoded, text, work)
        if needs.gradient:
            queued[work] = resources.costs.estimate_adapt(strategy, len(text.features), encoded.count).likely

        def on_done(done: object) -> None:
            queued.pop(work, None)

        if turn is None:
            adapting = run(lane, work, memory)
            if needs.gradient:
                adapting.add_done_callback(on_done)
            answer, _ = await adapting
            status = scope.count_frame()
        else:
            answer, status = await turn.adapt(lane, work, lambda: scope.count_frame(turn.slot.pop_reset()), on_done)
        self._learn_cost(strategy, needs, encoded.count, answer)
        if needs.gradient:
            resources.text_spaces.backward_done(self.request.labels)
        return answer, status

    async def _answer_zero_shot(self, encoded: EncodedViews, text: TextSpace) -> tuple[Answer, SessionStatus]:
        """Answers with zero-shot on the plain view, releases the turns and leaves the memories as they are."""
        self.scope.release_turns()
        self.timer.busy += self.timer.lap("turn", before="adapt")
        strategy = self.resources.costs.zero_shot
        plain = replace(encoded, count=1, kept=None, second_look=None)
        lane = self.resources.lanes.adapt
        explain, remember = self.request.explain, self.scope.remembers
        answer, _ = await run(lane, run_strategy, strategy, plain, text, explain, remember, False, None)
        self._learn_cost(strategy, needs_of(strategy), 1, answer)
        return answer, self.scope.count_frame(seen=False)

    def _learn_cost(self, strategy: Strategy[Any], needs: Needs, views: int, answer: Answer) -> None:
        seconds = self.timer.lap("adapt")
        # The wait for the tune lane is planned for in `_adapt`; that for the adapt lane counts as overhead.
        self.timer.busy += seconds if needs.gradient else answer.seconds
        self.resources.costs.learn_adapt(strategy, len(answer.logits), views, answer.seconds)
