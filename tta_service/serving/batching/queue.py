"""The batch queue: jobs that wait for the image tower, and when the tower will be free."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...core.reducer import Reducer
from ..costs.estimators import Estimate
from ..costs.model import CostModel
from .jobs import Job, JobSlice
from .scheduling import form_batch


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """Waiting jobs and rows for the metrics. Immutable, so any thread may read it."""

    jobs: int = 0
    rows: int = 0


class BatchQueue:
    """Forms batches of at most `max_rows` rows from the waiting jobs. Used on the event loop only."""

    def __init__(self, max_rows: int, costs: CostModel) -> None:
        self.max_rows, self.costs = max_rows, costs
        self.waiting: list[Job] = []
        self._running: tuple[float, Estimate] | None = (
            None  # the forward on the device: start (monotonic seconds), duration
        )
        self._expected: dict[
            object, float
        ] = {}  # expected arrival -> monotonic seconds by which the tower must be free
        self.counters = QueueCounters()  # cancelled jobs are counted until the next batch forms

    def add(self, job: Job) -> None:
        """Appends a job."""
        self.waiting.append(job)
        self.counters = QueueCounters(self.counters.jobs + 1, self.counters.rows + job.rows)

    def next_batch(self, now: float) -> list[JobSlice]:
        """Takes the next batch. Jobs whose time is up are settled with the rows they have."""
        soonest = now + self.costs.estimate_forward(self.costs.no_reduction, 1).safe
        free_by = min((by for by in self._expected.values() if by >= soonest), default=math.inf)
        formed = form_batch(self.waiting, self.max_rows, now, self._safe, free_by)
        self.waiting = formed.waiting
        for job in formed.expired:
            job.settle(now)
        self.counters = _count(self.waiting)
        return formed.batch

    @contextmanager
    def forward(self, reducer: Reducer, rows: int, began: float) -> Generator[None]:
        """Wraps a forward that began at `began` (monotonic seconds): the tower is busy meanwhile."""
        self._running = began, self.costs.estimate_forward(reducer, rows)
        try:
            yield
        finally:
            self._running = None

    @contextmanager
    def expect(self, by: float) -> Generator[None]:
        """Announces a job: if possible, the batch before it ends by `by` (monotonic seconds)."""
        arrival = object()
        self._expected[arrival] = by
        try:
            yield
        finally:
            del self._expected[arrival]

    def time_until_free(self, now: float) -> Estimate:
        """Seconds that the batch on the device will still take."""
        if self._running is None:
            return Estimate()
        began, duration = self._running
        return Estimate(max(0.0, began + duration.likely - now), duration.spread)

    def queued_time(self) -> Estimate:
        """Seconds that the waiting jobs will take."""
        each = [
            self.costs.estimate_encode(job.reduction.reducer, job.rows_left)
            for job in self.waiting
            if not job.done.done()
        ]
        return sum(each, Estimate())

    def _safe(self, reducer: Reducer, rows: int) -> float:
        return self.costs.estimate_encode(reducer, rows).safe


def _count(waiting: Sequence[Job]) -> QueueCounters:
    return QueueCounters(len(waiting), sum(job.rows_left for job in waiting))
