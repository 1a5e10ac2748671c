"""The batch queue: jobs that wait for the image tower, which of them share the next batch, and when the tower is free.

Without deadlines it is first come first served. With them the earliest deadline goes first, but the oldest job is
overtaken a bounded number of times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache

from ...core.reducer import Reducer
from ..costs.estimators import Estimate
from ..costs.model import CostModel
from .jobs import Job, JobSlice

MAX_OVERTAKEN = 8  # batches that may overtake the oldest job, so that it does not starve
Seconds = Callable[[Reducer, int], float]  # reducer, rows -> seconds of as many forwards as the rows need
NOTHING_EXPECTED = nullcontext()


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """Waiting jobs and rows for the metrics."""

    jobs: int
    rows: int


@dataclass(frozen=True, slots=True)
class RunningForward:
    """The forward on the device."""

    reducer: Reducer
    rows: int
    began: float  # monotonic seconds


class BatchQueue:
    """Forms batches of at most `max_rows` rows from the waiting jobs. Used on the event loop only."""

    def __init__(self, max_rows: int, costs: CostModel) -> None:
        self.max_rows, self.costs = max_rows, costs
        self.waiting: list[Job] = []  # oldest first
        self.running: RunningForward | None = None
        self._expected: list[float] = []  # of each expected job: monotonic seconds by which the tower must be free

    @property
    def counters(self) -> QueueCounters:
        """What waits; cancelled jobs count until the next batch forms. May be read from any thread."""
        waiting = self.waiting.copy()
        return QueueCounters(len(waiting), sum(job.rows_left for job in waiting))

    def next_batch(self, now: float) -> list[JobSlice]:
        """Takes the next batch. Jobs whose time is up are settled with the rows they have, cancelled ones dropped."""
        jobs = [job for job in self.waiting if not job.done.done()]
        if self._expected or any(math.isfinite(job.due) for job in jobs):
            seconds = cache(self._safe_seconds)  # the same questions are asked for many jobs
            soonest = now + seconds(self.costs.no_reduction, 1)
            free_by = min((by for by in self._expected if by >= soonest), default=math.inf)
            batch = earliest_deadline_first(jobs, self.max_rows, now, seconds, free_by)
            for job in jobs:
                if not job.rows_left:
                    job.settle(now)
        else:
            batch = first_come_first_served(jobs, self.max_rows)
        self.waiting = [job for job in jobs if job.rows_left]
        return batch

    def expect(self, reducer: Reducer, due: float) -> AbstractContextManager[None]:
        """Announces a job whose first row is due then (monotonic seconds): if possible, the batch before leaves time
        for it."""
        return NOTHING_EXPECTED if math.isinf(due) else self._expect(due - self.costs.estimate_forward(reducer, 1).safe)

    @contextmanager
    def _expect(self, by: float) -> Generator[None]:
        self._expected.append(by)
        try:
            yield
        finally:
            self._expected.remove(by)

    def time_until_free(self, now: float) -> Estimate:
        """Seconds that the batch on the device will still take."""
        running = self.running
        if running is None:
            return Estimate()
        duration = self.costs.estimate_forward(running.reducer, running.rows)
        return Estimate(max(0.0, running.began + duration.likely - now), duration.spread)

    def queued_time(self) -> Estimate:
        """Seconds that the waiting jobs will take."""
        jobs = [job for job in self.waiting if not job.done.done()]
        return sum((self.costs.estimate_encode(job.reduction.reducer, job.rows_left) for job in jobs), Estimate())

    def _safe_seconds(self, reducer: Reducer, rows: int) -> float:
        return self.costs.estimate_encode(reducer, rows).safe


def first_come_first_served(jobs: Sequence[Job], max_rows: int) -> list[JobSlice]:
    """Takes at most `max_rows` rows: of the oldest job, and of those with its key that fit in whole."""
    batch, room = list[JobSlice](), max_rows
    for job in jobs:
        if not batch:
            job.overtaken = 0
        elif job.rows_left > room or job.key != jobs[0].key:
            continue
        rows = min(job.rows_left, room)
        batch.append(job.take(rows))
        room -= rows
    return batch


def earliest_deadline_first(
    jobs: Sequence[Job], max_rows: int, now: float, seconds: Seconds, free_by: float = math.inf
) -> list[JobSlice]:
    """Takes at most `max_rows` rows, all with the key of the leader.

    The leader is the oldest job, or the most urgent one: a job is urgent if it would lose rows by waiting for one more
    batch. The batch ends by the earliest `due` of its jobs, so that a plain view does not wait for sixty others; if
    possible it also ends by `free_by`, when a job is expected. Urgent jobs are split to fit, others are taken whole.
    Rows that cannot be done in time are left out: then their job has none left. All times are monotonic seconds.
    """
    for job in jobs:
        _trim(job, now, seconds)
    jobs = [job for job in jobs if job.rows_left]
    if not jobs:
        return []
    one_more = now + seconds(jobs[0].reduction.reducer, max_rows)
    urgent = [job for job in jobs if _is_late(job, one_more, job.rows_left, seconds)]
    leader = _choose_leader(jobs[0], urgent)
    batch, used = _fill(jobs, leader, urgent, max_rows, now, seconds, free_by)
    end, chosen = now + seconds(leader.reduction.reducer, used), {part.job for part in batch}
    for job in jobs:
        if job.taken and job not in chosen and _is_late(job, end, 1, seconds):
            job.cut(job.taken)
    return batch


def _choose_leader(oldest: Job, urgent: Sequence[Job]) -> Job:
    leader = min(urgent, key=lambda job: job.due) if urgent and oldest.overtaken < MAX_OVERTAKEN else oldest
    oldest.overtaken = 0 if leader is oldest else oldest.overtaken + 1
    return leader


def _fill(
    jobs: Sequence[Job], leader: Job, urgent: Sequence[Job], max_rows: int, now: float, seconds: Seconds, limit: float
) -> tuple[list[JobSlice], int]:
    """The batch of the leader and its rows. It comes first, or the urgent jobs do, small ones before large ones."""
    reducer, batch, used, hurried = leader.reduction.reducer, list[JobSlice](), 0, set(urgent)
    alike = [job for job in jobs if job.key == leader.key]
    alike.sort(key=lambda job: (1, job.rows_left, job.due) if job in hurried else (0 if job is leader else 2, 0, 0.0))
    for job in alike:
        within = min(limit, job.due)
        rows = _rows_within(within - now, min(job.rows_left, max_rows - used), used, reducer, seconds)
        if job is leader and not batch:
            rows = max(1, rows)  # even if it seems too late
        elif job not in hurried and rows < job.rows_left:
            continue
        if rows:
            batch.append(job.take(rows))
            used, limit = used + rows, within
    return batch, used


def _trim(job: Job, now: float, seconds: Seconds) -> None:
    """Leaves out the rows that are too late even if the job goes first from now on."""
    if now >= job.due:
        return job.cut(job.taken)
    rows = _rows_within(job.due - now, job.rows_left, 0, job.reduction.reducer, seconds)
    if rows < job.rows_left:
        job.cut(job.taken + (rows or not job.taken))


def _is_late(job: Job, end: float, rows: int, seconds: Seconds) -> bool:
    """Whether so many rows of the job are too late if they begin at `end`."""
    return math.isfinite(job.due) and end + seconds(job.reduction.reducer, rows) > job.due


def _rows_within(time: float, rows: int, used: int, reducer: Reducer, seconds: Seconds) -> int:
    """How many of `rows` fit into a forward of so many seconds beside `used` rows."""
    return rows if math.isinf(time) else largest_fit(rows, lambda more: seconds(reducer, used + more) <= time)


def largest_fit(rows: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `rows` that fits, or 0. `fits` must hold for every number below one that fits."""
    if fits(rows):
        return rows
    few, many = 0, rows
    while few < many:
        middle = (few + many + 1) // 2
        few, many = (middle, many) if fits(middle) else (few, middle - 1)
    return few
