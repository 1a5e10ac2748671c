"""Who waits for the tower, who is about to, and when it will be free."""

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
    """For metrics: plain numbers that may be read from any thread."""

    jobs: int = 0
    rows: int = 0


class BatchQueue:
    """Jobs before the tower, batches of at most `max_rows` rows out of them."""

    def __init__(self, max_rows: int, costs: CostModel) -> None:
        self.max_rows, self.costs = max_rows, costs
        self.waiting: list[Job] = []
        self._running: tuple[float, Estimate] | None = None  # since when, for how long
        self._expected: dict[object, float] = {}  # by when the tower must be free for those who are about to come
        self.counters = QueueCounters()  # who waits; callers who have left are counted until the next batch forms

    def add(self, job: Job) -> None:
        """Behind those who came before."""
        self.waiting.append(job)
        self.counters = QueueCounters(self.counters.jobs + 1, self.counters.rows + job.rows)

    def next_batch(self, now: float) -> list[JobSlice]:
        """The next batch; those whose time is up get what they have."""
        soonest = now + self.costs.forward(self.costs.no_reduction, 1).safe
        by = min((by for by in self._expected.values() if by >= soonest), default=math.inf)
        formed = form_batch(self.waiting, self.max_rows, now, self._safe, by)
        self.waiting = formed.waiting
        for job in formed.expired:
            job.settle(now)
        self.counters = _count(self.waiting)
        return formed.batch

    @contextmanager
    def forward(self, reducer: Reducer, rows: int, began: float) -> Generator[None]:
        """Around a forward: so long the tower is taken."""
        self._running = began, self.costs.forward(reducer, rows)
        try:
            yield
        finally:
            self._running = None

    @contextmanager
    def expect(self, by: float) -> Generator[None]:
        """Somebody is about to come, and has time if the batch before ends by then (monotonic seconds)."""
        arrival = object()
        self._expected[arrival] = by
        try:
            yield
        finally:
            del self._expected[arrival]

    def time_until_free(self, now: float) -> Estimate:
        """How long the batch on the device will still take."""
        if self._running is None:
            return Estimate()
        since, whole = self._running
        return Estimate(max(0.0, since + whole.likely - now), whole.spread)

    def queued_time(self) -> Estimate:
        """How long what waits behind it will take."""
        each = [self.costs.encode(job.reduction.reducer, job.rows_left) for job in self.waiting if not job.done.done()]
        return sum(each, Estimate())

    def _safe(self, reducer: Reducer, rows: int) -> float:
        return self.costs.encode(reducer, rows).safe


def _count(waiting: Sequence[Job]) -> QueueCounters:
    return QueueCounters(len(waiting), sum(job.rows_left for job in waiting))
