"""The engine: admits a request, runs it through the pipeline and returns its report."""

from __future__ import annotations

import math
import time

from ..core.errors import TTAError
from ..core.events import Observe, ignore
from ..core.request import PendingRequest, Report, Request
from .admission.controller import AdmissionController
from .pipeline.deadline import DeadlinePlanner
from .pipeline.request_run import RequestRun
from .pipeline.resources import Resources, StageTimer, check_combination, claim_for, within_deadline, work_of
from .pipeline.warmup import warm_up
from .sessions.sessions import Sessions


class Engine:
    """Classifies images: decode, look, encode, adapt, report. `observe` receives every report."""

    def __init__(
        self, resources: Resources, sessions: Sessions, admission: AdmissionController, observe: Observe = ignore
    ) -> None:
        self._resources, self._sessions, self._admission, self._observe = resources, sessions, admission, observe

    async def classify(self, pending: PendingRequest) -> Report:
        """Returns the report, or raises a `TTAError`.

        Waits for admission with the rows of the request that is pending now. Once admitted, it runs the one that is
        pending then: the newest frame of its stream. Cancelling is safe at any time: before adapt it leaves no trace;
        during adapt the frame counts as seen.
        """
        received, request = time.monotonic(), pending.peek()
        check_combination(request)
        planner = self._planner(request, received)
        queue_until = planner.queue_until(received) if planner else None

        def admit_by() -> float:
            try:
                newest = pending.peek()
            except TTAError:  # admitted at once, so that the error of the newest frame is reported at once
                return 0.0
            of_newest = planner if newest is request else self._planner(newest, received)
            return of_newest.admit_by if of_newest else math.inf

        async with within_deadline(queue_until if pending is request else None):
            permit = await self._admission.acquire(claim_for(request, admit_by))
        with permit:
            if (newest := pending.take()) is not request:
                request = newest
                check_combination(request)
                permit.resize(*work_of(request, request.strategy))
                planner = self._planner(request, received)
            timer = StageTimer(request, received)
            timer.lap("queue", before="text")
            async with within_deadline(request.deadline):
                with self._sessions.scope(request) as scope:
                    report = await RequestRun(self._resources, request, scope, permit, planner, timer).report()
        self._observe(report)
        return report

    @property
    def places(self) -> dict[str, AdmissionController]:
        """What lets requests run, and lets their pictures be decoded."""
        return {
            "answers": self._admission,
            "decoding": self._resources.preparing,
            "large_pictures": self._resources.large_pictures,
        }

    async def warm_up(self, dimension: int) -> None:
        """Measures a plain answer for the cost model. `dimension`: of the features."""
        await warm_up(self._resources, dimension)

    def without_observer(self) -> Engine:
        """An engine that shares everything with this one, but reports to no observer."""
        return Engine(self._resources, self._sessions, self._admission)

    def _planner(self, request: Request, received: float) -> DeadlinePlanner | None:
        """Plans the time from the request's arrival on, including its label set's text if that is not cached.

        None: the request has no deadline.
        """
        if request.deadline is None or math.isinf(request.deadline):
            return None
        labels, resources = request.labels, self._resources
        prompts = 0 if labels in resources.text_spaces else labels.prompt_count
        arrived = received if request.arrived is None else request.arrived
        return DeadlinePlanner(resources.costs, resources.batcher.queue, request, request.deadline, arrived, prompts)
