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
from ..admission.tickets import Permit
from ..concurrency.executors import Executors, run
from ..sessions.scope import SessionScope
from ..text.cache import TextSpaceCache
from .backlog import QueuedWork
from .deadline import DeadlinePlanner
from .encoding import ImageEncoder, RequestEncoding
from .run_strategy import Answer, EncodedViews, begin_memory, run_strategy
from .stage_timer import StageTimer


@dataclass(frozen=True, slots=True)
class Resources:
    """What a request passes through: shared by all."""

    encoder: ImageEncoder
    text_spaces: TextSpaceCache
    lanes: Executors
    queued_tuning: QueuedWork  # of the tune lane
    should_explain: Callable[[Request, Strategy[Any]], bool]
    rows_of: Callable[[Request, Strategy[Any], int], int]  # of so many views


@dataclass(frozen=True, slots=True, eq=False)
class StrategyResult:
    """One strategy's answer, and how it came about."""

    answer: Answer
    status: SessionStatus
    strategy: Strategy[Any]  # that really answered
    views: int
    degraded: Degraded | None = None


class StrategyRun:
    """The strategies of one request, asked one after the other: they share its image, its place and its visit.

    `busy_seconds`: seconds of adapt and of waiting for turns.
    """

    def __init__(
        self,
        resources: Resources,
        request: Request,
        scope: SessionScope,
        timer: StageTimer,
        permit: Permit,
        planner: DeadlinePlanner,
    ) -> None:
        self._resources, self._request, self._scope, self._timer = resources, request, scope, timer
        self._permit, self._planner = permit, planner
        self.encoding, self.busy_seconds = RequestEncoding(resources.encoder, request, timer), 0.0

    async def run(self, strategy: Strategy[Any], text: TextSpace) -> StrategyResult:
        """One strategy's answer: evidence, the turn at its memory, adapt. Plain when there is no time for that."""
        needs, planner = strategy.needs(), self._planner
        plan = planner.plan(strategy, time.monotonic(), self.encoding.work_done(needs), self._permit.late)
        if planner.has_deadline:
            self._permit.resize(self._resources.rows_of(self._request, strategy, plan.views))
        encoded = await self.encoding.encode(needs, text, plan)
        wanted = planner.views_wanted(needs)
        try:
            if plan.zero_shot_only or encoded.count < plan.fewest:
                raise TimeoutError
            answer, status = await self._adapt(
                strategy, needs, encoded, text, planner.adapt_by(strategy, encoded.count)
            )
        except TimeoutError:
            if plan.all_or_nothing:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left") from None
            return await self._answer_zero_shot(needs, encoded, text)
        degraded = Degraded(planner.reason, wanted, encoded.count) if encoded.count < wanted else None
        return StrategyResult(answer, status, strategy, encoded.count, degraded)

    async def _adapt(
        self, strategy: Strategy[Any], needs: Needs, encoded: EncodedViews, text: TextSpace, until: float
    ) -> tuple[Answer, SessionStatus]:
        """TimeoutError when it cannot begin by `until`: then the memory is untouched."""
        timer, scope, resources, labels = self._timer, self._scope, self._resources, self._request.labels
        timer.check_deadline("turn")
        lane = resources.lanes.tune if needs.gradient else resources.lanes.adapt
        explain = resources.should_explain(self._request, strategy)
        work = partial(run_strategy, strategy, needs, encoded, text, explain)
        turn, memory = scope.turn(strategy), None
        async with asyncio.timeout(None if math.isinf(until) else max(0.0, until - time.monotonic())):
            if turn is not None:
                await turn.wait()
                await turn.begin(lane, partial(begin_memory, strategy, text), scope.admit)
            elif needs.memory is Scope.LABELS:
                memory = await resources.text_spaces.memory(strategy, labels)
        self.busy_seconds += timer.lap("turn")
        timer.check_deadline("adapt")
        expected = resources.encoder.costs.adapt(strategy, len(labels.names), encoded.count).likely
        if time.monotonic() + (resources.queued_tuning.seconds if needs.gradient else 0.0) > until:
            raise TimeoutError
        on_done = resources.queued_tuning.add(expected if needs.gradient else 0.0)
        if turn is None:
            adapting = run(lane, lambda: completed(work(memory)))
            adapting.add_done_callback(on_done)
            answer, _ = await adapting
            status = scope.count_frame()
        else:
            answer_first = predicts_first(strategy)
            adapting_turn = turn.adapt(
                lane, work, lambda: scope.count_frame(turn.slot.pop_reset()), answer_first, on_done
            )
            answer, status = await adapting_turn
        self._record_cost(strategy, encoded.count, answer)
        if needs.gradient:
            resources.text_spaces.backward_done(labels)
        return answer, status

    async def _answer_zero_shot(self, needs: Needs, encoded: EncodedViews, text: TextSpace) -> StrategyResult:
        """Zero-shot on the plain view; turns are given up and no memory hears of it."""
        self._scope.release_turns()
        self._timer.check_deadline("adapt")
        strategy, plain = (
            self._resources.encoder.costs.zero_shot,
            replace(encoded, count=1, kept=None, second_look=None),
        )
        explain = self._request.explain
        work = partial(run_strategy, strategy, strategy.needs(), plain, text, explain)
        answer, _ = await run(self._resources.lanes.adapt, lambda: completed(work(None)))
        self._record_cost(strategy, 1, answer)
        degraded = Degraded(self._planner.reason, self._planner.views_wanted(needs), 1, zero_shot=True)
        return StrategyResult(answer, self._scope.count_frame(seen=False), strategy, 1, degraded)

    def _record_cost(self, strategy: Strategy[Any], views: int, answer: Answer) -> None:
        seconds = self._timer.lap("adapt")
        self.busy_seconds += (
            seconds if strategy.needs().gradient else answer.seconds
        )  # waiting for the tune lane is known before
        self._resources.encoder.costs.learn_adapt(strategy, len(self._request.labels.names), views, answer.seconds)
