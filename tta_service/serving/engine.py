"""The engine: admits a request, runs it through the pipeline and returns its report."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core.errors import TTAError
from ..core.events import Observe, ignore
from ..core.reducer import Reducer
from ..core.request import Features, PendingRequest, Report, Request
from ..core.strategy import Strategy, predicts_first
from .admission.controller import AdmissionController
from .batching.batcher import Batcher
from .concurrency.executors import Executors, run
from .costs.model import CostModel
from .pipeline.deadline import DeadlinePlanner, Planner, within_deadline
from .pipeline.encoding import Decode, ImageEncoder, Look
from .pipeline.request_run import RequestRun
from .pipeline.requirements import check_combination, claim_for, cost_of, rows_needed
from .pipeline.stage_timer import StageTimer
from .pipeline.strategy_run import QueuedWork, Resources
from .pipeline.warmup import warm_up
from .sessions.sessions import Sessions
from .text.cache import TextSpaceCache


class Engine:
    """Classifies images: decode, look, encode, adapt, report.

    `decode(image) -> [3, h, w] uint8` and `look(pixels, count, seed, augment) -> Views` run in the prepare lane.
    `observe` receives every report; one report in `explain_every` (0: none) gets an explanation for the metrics.
    `tokens_left(reducer)` gives the patch tokens of a view after each block. `costs` is the cost model that the batcher
    updates.
    """

    def __init__(
        self,
        *,
        decode: Decode,
        look: Look,
        batcher: Batcher,
        text_spaces: TextSpaceCache,
        sessions: Sessions,
        admission: AdmissionController,
        lanes: Executors,
        observe: Observe = ignore,
        explain_every: int = 0,
        tokens_left: Callable[[Reducer], tuple[int, ...]] = lambda reducer: (),
        costs: CostModel | None = None,
    ) -> None:
        self._costs = costs or CostModel(batcher.max_rows)
        self._text_spaces, self._sessions, self._admission = text_spaces, sessions, admission
        self._observe, self._explain_every, self._explainable = observe, explain_every, 0
        self._tokens_left = tokens_left
        encoder = ImageEncoder(decode, look, batcher, lanes, self._costs)
        self._resources = Resources(encoder, text_spaces, lanes, QueuedWork(), self._should_explain)

    async def classify(self, pending: PendingRequest) -> Report:
        """Returns the report, or raises a `TTAError`.

        Waits for admission with the rows of the request that is pending now. Once admitted, it runs the one that is
        pending then: the newest frame of its stream. Cancelling is safe at any time: before adapt it leaves no trace;
        during adapt the frame counts as seen.
        """
        arrived, request = time.monotonic(), pending.peek()
        check_combination(request)
        planner = self._planner(request, arrived)
        planner.check_feasible(arrived)

        def admit_by() -> float:
            try:
                newest = pending.peek()
                return (planner if newest is request else self._planner(newest, arrived)).admit_by
            except TTAError:  # admitted at once, so that the error of the newest frame is reported at once
                return 0.0

        async with within_deadline(planner.queue_until if pending is request else math.inf):
            permit = await self._admission.acquire(claim_for(request, admit_by))
        with permit:
            if (newest := pending.take()) is not request:
                request = newest
                check_combination(request)
                permit.resize(rows_needed(request, request.strategy), cost_of(request, request.strategy))
                planner = self._planner(request, arrived)
            timer = StageTimer(request, arrived if request.arrived is None else request.arrived)
            timer.lap("queue")
            async with within_deadline(request.deadline):
                with self._sessions.scope(request) as scope:
                    report = await RequestRun(self._resources, request, scope, timer, permit, planner).report()
                    report = await self._add_token_counts(report)
        self._observe(report)
        return report

    async def warm_up(self, dimension: int) -> None:
        """Measures a plain answer for the cost model. `dimension`: of the features."""
        await warm_up(self._resources.encoder, dimension)

    def without_observer(self) -> Engine:
        """An engine that shares everything with this one, but reports to no observer."""
        unobserved = copy.copy(self)
        unobserved._observe = ignore
        return unobserved

    def _planner(self, request: Request, arrived: float) -> Planner:
        """Plans the time from the request's arrival on, including its label set's text if that is not cached."""
        if request.deadline is None or math.isinf(request.deadline):
            return Planner(request)
        labels, queue = request.labels, self._resources.encoder.batcher.queue
        prompts = 0 if labels in self._text_spaces else len(labels.names) * len(labels.templates)
        arrived_at = arrived if request.arrived is None else request.arrived
        return DeadlinePlanner(self._costs, queue, request, request.deadline, arrived_at, prompts)

    def _should_explain(self, request: Request, strategy: Strategy[Any]) -> bool:
        """Whether to explain: on demand, or as a sample. No sample if the caller would wait for a backward pass."""
        slow = strategy.needs().gradient and predicts_first(strategy)
        self._explainable += not slow
        sampled = self._explain_every > 0 and not slow and self._explainable % self._explain_every == 0
        return request.explain or sampled

    async def _add_token_counts(self, report: Report) -> Report:
        """Adds the tokens left to the explanation; the plain view is reduced only if the scope is `all`."""
        explanation, request = report.explanation, report.request
        if explanation is None or isinstance(request.image, Features):
            return report
        reduction = request.reduction if request.reduction.scope == "all" else self._resources.encoder.no_reduction
        left = await run(self._resources.lanes.adapt, self._tokens_left, reduction.reducer)
        return replace(report, explanation=replace(explanation, tokens_left=left))
