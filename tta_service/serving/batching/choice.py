"""Which rows of the waiting jobs make the next batch.

Without deadlines it is first come first served, with seats for small jobs. With them the earliest deadline goes first,
but the oldest job is overtaken a bounded number of times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ...core.reducer import Reducer
from .jobs import Job, JobSlice

MAX_OVERTAKEN = 8  # batches that may overtake the oldest job, so that it does not starve
SMALL = 4  # a job of at most one part in so many of a batch is small; as much is kept for small jobs in each batch
Seconds = Callable[[Reducer, int], float]  # reducer, rows -> seconds of as many forwards as the rows need


def find_urgent(jobs: Sequence[Job], reducer: Reducer, max_rows: int, now: float, seconds: Seconds) -> dict[Job, None]:
    """The jobs that would lose rows by waiting for one more batch with that reducer."""
    hurried = [job for job in jobs if math.isfinite(job.due)]
    one_more = now + seconds(reducer, max_rows) if hurried else now
    return dict.fromkeys(job for job in hurried if is_late(job, one_more, job.rows_left, seconds))


def choose_leader(jobs: Sequence[Job], urgent: Collection[Job], max_rows: int) -> Job:
    """The job that goes first, whose key all of the batch has: the oldest of `jobs`, or the most urgent one.

    When the oldest has had a batch and wants more, it lets a small job with another key go first in between.
    """
    oldest = leader = jobs[0]
    hurried = [job for job in jobs if job in urgent]
    if hurried and oldest.overtaken < MAX_OVERTAKEN:
        leader = min(hurried, key=lambda job: job.due)
    elif oldest.taken and not oldest.overtaken:
        small = (job for job in jobs if is_small(job, max_rows) and job.key != oldest.key)
        leader = next(small, oldest)
    oldest.overtaken = 0 if leader is oldest else oldest.overtaken + 1
    return leader


def small_part(rows: int) -> int:
    """Of so many rows those that are kept for small jobs: 1 at least."""
    return max(1, rows // SMALL)


def is_small(job: Job, max_rows: int) -> bool:
    """Whether it gets a seat in batches that a larger job would fill."""
    return job.rows_left <= small_part(max_rows)


@dataclass(slots=True)
class Batch:
    """A batch that is being filled, of at most `max_rows` rows, all with one key. It ends by `limit`.

    `seconds` are estimates of forwards, `now` and `limit` monotonic seconds.
    """

    reducer: Reducer
    max_rows: int
    now: float
    seconds: Seconds
    limit: float = math.inf
    used: int = 0
    slices: list[JobSlice] = field(default_factory=list[JobSlice])

    def fill(self, jobs: Sequence[Job], leader: Job | None, urgent: Collection[Job], room: int, split: bool) -> None:
        """Adds at most `room` rows of `jobs`. The leader comes first, or the urgent jobs do, small ones before large.

        The batch ends by the earliest `due` of its jobs, so that a plain view does not wait for sixty others. The
        leader and urgent jobs are split to fit, others are taken whole, unless all may be `split`.
        """

        def rank(job: Job) -> tuple[int, int, float]:
            return (1, job.rows_left, job.due) if job in urgent else (0 if job is leader else 2, 0, 0.0)

        end, seats = self.used + room, self._seats(jobs, room)
        ordered = sorted(jobs, key=rank) if len(jobs) > 1 else jobs
        for job in ordered:
            small, within = is_small(job, self.max_rows), min(self.limit, job.due)
            free = end - self.used - (0 if small or job in urgent else seats)
            rows = rows_within(within - self.now, min(job.rows_left, free), self.used, self.reducer, self.seconds)
            if job is leader and not self.slices:
                rows = max(1, rows)  # even if it seems too late
            elif rows < job.rows_left and not split and job not in urgent:
                continue
            if rows > 0:
                self.slices.append(job.take(rows))
                self.used, self.limit = self.used + rows, within
                seats = max(0, seats - rows) if small else seats

    def cut_late(self, jobs: Sequence[Job]) -> None:
        """Leaves out the rows of the other `jobs`, begun before, that are too late after this batch."""
        end, chosen = self.now + self.seconds(self.reducer, self.used), {part.job for part in self.slices}
        for job in jobs:
            if job.taken and job not in chosen and is_late(job, end, 1, self.seconds):
                job.cut(job.taken)

    def _seats(self, jobs: Sequence[Job], room: int) -> int:
        """Rows that large jobs leave to small ones."""
        if len(jobs) == 1 or room < 2:
            return 0
        wanted = sum(job.rows_left for job in jobs if is_small(job, self.max_rows))
        return min(wanted, small_part(room))


def trim(job: Job, now: float, seconds: Seconds) -> None:
    """Leaves out the rows that are too late even if the job goes first from now on."""
    if now >= job.due:
        return job.cut(job.taken)
    rows = rows_within(job.due - now, job.rows_left, 0, job.reduction.reducer, seconds)
    if rows < job.rows_left:
        job.cut(job.taken + (rows or not job.taken))


def is_late(job: Job, end: float, rows: int, seconds: Seconds) -> bool:
    """Whether so many rows of the job are too late if they begin at `end`."""
    return math.isfinite(job.due) and end + seconds(job.reduction.reducer, rows) > job.due


def rows_within(time: float, rows: int, used: int, reducer: Reducer, seconds: Seconds) -> int:
    """How many of `rows` fit into a forward of so many seconds beside `used` rows."""
    return rows if math.isinf(time) else largest_fit(rows, lambda more: seconds(reducer, used + more) <= time)


def largest_fit(rows: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `rows` that fits, or 0. `fits` must hold for every number below one that fits."""
    if rows <= 0 or fits(rows):
        return max(0, rows)
    few, many = 0, rows
    while few < many:
        middle = (few + many + 1) // 2
        few, many = (middle, many) if fits(middle) else (few, middle - 1)
    return few
