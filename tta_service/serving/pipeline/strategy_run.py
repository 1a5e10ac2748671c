"""Runs one strategy on one request: encode, wait for the memory's turn, adapt; without time for it, zero-shot."""

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
from ...core.strategy import Needs, Scope, Strategy
from ..admission.wait_queue import Permit
from ..concurrency.executors import Executors, run
from ..sessions.scope import SessionScope
from ..text.cache import TextSpaceCache
from .adaptation import Answer, EncodedViews, begin_memory, run_strategy
from .deadline import Planner
from .encoding import ImageEncoder, RequestEncoding
from .requirements import rows_needed
from .stage_timer import StageTimer


class QueuedWork:
    """Work in a lane of one thread: the seconds that it is expected to take."""

    def __init__(self) -> None:
        self._expected: dict[object, float] = {}

    @property
    def seconds(self) -> float:
        """Expected seconds of all work that has not ended."""
        return sum(self._expected.values())

    def add(self, seconds: float) -> Callable[[object], None]:
        """Adds work. Call the returned function when it has ended; its argument is ignored."""
        work = object()
        self._expected[work] = seconds

        def on_done(done: object) -> None:
            self._expected.pop(work, None)

        return on_done


@dataclass(frozen=True, slots=True)
class Resources:
    """What all requests share."""

    encoder: ImageEncoder
    text_spaces: TextSpaceCache
    lanes: Executors
    queued_tuning: QueuedWork  # in the tune lane
    should_explain: Callable[[Request, Strategy[Any]], bool]


@dataclass(frozen=True, slots=True, eq=False)
class StrategyResult:
    """One strategy's answer, and what was done for it."""

    answer: Answer
    status: SessionStatus
    strategy: Strategy[Any]  # that answered: zero-shot if there was no time for the one asked for
    views: int
    degraded: Degraded | None = None


class StrategyRun:
    """Runs the strategies of one request, one after the other; they share its encoding, permit and session scope.

    `busy_seconds`: seconds of adapt and of waiting for turns.
    """

    def __init__(
        self,
        resources: Resources,
        request: Request,
        scope: SessionScope,
        timer: StageTimer,
        permit: Permit,
        planner: Planner,
    ) -> None:
        self._resources, self._request, self._scope, self._timer = resources, request, scope, timer
        self._permit, self._planner = permit, planner
        self.encoding, self.busy_seconds = RequestEncoding(resources.encoder, request, timer), 0.0

    async def run(self, strategy: Strategy[Any], text: TextSpace) -> StrategyResult:
        """Runs one strategy; without time for it, zero-shot on the plain view.

        Raises `DeadlineTooShort` if there is no time for that either or the request wants all or nothing, and the
        errors of `RequestEncoding.encode` and `run_strategy`.
        """
        needs, planner = strategy.needs(), self._planner
        plan = planner.plan(strategy, time.monotonic(), self.encoding.work_done(needs), self._permit.late)
        if planner.has_deadline:
            self._permit.resize(rows_needed(self._request, strategy, plan.views))
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
        """Raises TimeoutError if adapt cannot begin by `until` (monotonic seconds); then the memory is untouched."""
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
        expected = resources.encoder.costs.estimate_adapt(strategy, len(labels.names), encoded.count).likely
        if time.monotonic() + (resources.queued_tuning.seconds if needs.gradient else 0.0) > until:
            raise TimeoutError
        on_done = resources.queued_tuning.add(expected if needs.gradient else 0.0)
        if turn is None:
            adapting = run(lane, work, memory)
            adapting.add_done_callback(on_done)
            answer, _ = await adapting
            status = scope.count_frame()
        else:
            answer, status = await turn.adapt(lane, work, lambda: scope.count_frame(turn.slot.pop_reset()), on_done)
        self._record_cost(strategy, encoded.count, answer)
        if needs.gradient:
            resources.text_spaces.backward_done(labels)
        return answer, status

    async def _answer_zero_shot(self, needs: Needs, encoded: EncodedViews, text: TextSpace) -> StrategyResult:
        """Answers with zero-shot on the plain view, releases the turns and leaves the memories as they are."""
        self._scope.release_turns()
        self._timer.check_deadline("adapt")
        strategy = self._resources.encoder.costs.zero_shot
        plain = replace(encoded, count=1, kept=None, second_look=None)
        work = partial(run_strategy, strategy, strategy.needs(), plain, text, self._request.explain)
        answer, _ = await run(self._resources.lanes.adapt, work, None)
        self._record_cost(strategy, 1, answer)
        degraded = Degraded(self._planner.reason, self._planner.views_wanted(needs), 1, zero_shot=True)
        return StrategyResult(answer, self._scope.count_frame(seen=False), strategy, 1, degraded)

    def _record_cost(self, strategy: Strategy[Any], views: int, answer: Answer) -> None:
        seconds = self._timer.lap("adapt")
        # The wait for the tune lane is planned for in `_adapt`; that for the adapt lane counts as overhead.
        self.busy_seconds += seconds if strategy.needs().gradient else answer.seconds
        self._resources.encoder.costs.learn_adapt(strategy, len(self._request.labels.names), views, answer.seconds)
