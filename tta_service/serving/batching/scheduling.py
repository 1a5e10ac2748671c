"""Forms the next batch from the waiting jobs: the oldest leads, unless another job cannot wait longer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ...core.reducer import Reducer
from .jobs import Job, JobSlice

MAX_OVERTAKEN = 8  # batches that may overtake the oldest job, so that it does not starve
Seconds = Callable[[Reducer, int], float]  # reducer, rows -> seconds of as many forwards as the rows need


@dataclass(frozen=True, slots=True)
class NextBatch:
    """The next batch, and what becomes of the other jobs."""

    batch: list[JobSlice]
    waiting: list[Job]  # with rows left, oldest first
    expired: list[Job]  # out of time: settled with the rows they have


def form_batch(
    waiting: Sequence[Job], max_rows: int, now: float, seconds: Seconds, free_by: float = math.inf
) -> NextBatch:
    """Takes at most `max_rows` rows, all with the key of the leader.

    The leader is the oldest job, or the most urgent one: a job is urgent if it would lose rows by waiting for one more
    batch. The batch ends by the earliest `due` of its jobs, so that a plain view does not wait for sixty others; if
    possible it also ends by `free_by`, when a job is expected. Urgent jobs are split to fit, others are taken whole.
    Cancelled jobs are dropped. All times are monotonic seconds.
    """
    candidates = [job for job in waiting if not job.done.done()]
    for job in candidates:
        _trim(job, now, seconds)
    expired, candidates = [job for job in candidates if not job.rows_left], [job for job in candidates if job.rows_left]
    if not candidates:
        return NextBatch([], [], expired)
    oldest = candidates[0]
    full = seconds(oldest.reduction.reducer, max_rows)
    urgent = {job for job in candidates if _is_urgent(job, now + full, seconds)}
    leader = min(urgent, key=lambda job: job.due) if urgent and oldest.overtaken < MAX_OVERTAKEN else oldest
    oldest.overtaken = 0 if leader is oldest else oldest.overtaken + 1
    batch, end = _fill(candidates, leader, urgent, max_rows, now, seconds, free_by)
    chosen = {part.job for part in batch}
    remaining = [job for job in candidates if job.rows_left]
    lost = [job for job in remaining if job not in chosen and job.taken and _cannot_finish(job, end, seconds)]
    for job in lost:
        job.cut(job.taken)
    return NextBatch(batch, [job for job in remaining if job not in lost], expired + lost)


def _fill(
    candidates: list[Job], leader: Job, urgent: set[Job], max_rows: int, now: float, seconds: Seconds, limit: float
) -> tuple[list[JobSlice], float]:
    """The slices of the batch, and when its forward ends (monotonic seconds)."""
    reducer, batch, used = leader.reduction.reducer, list[JobSlice](), 0
    alike = [job for job in candidates if job.key == leader.key]
    alike.sort(key=lambda job: (0, job.rows_left, job.due) if job in urgent else (1, 0, 0.0))  # else by age
    for job in alike if leader in urgent else dict.fromkeys([leader, *alike]):
        rows, within = min(job.rows_left, max_rows - used), min(limit, job.due)
        if job not in urgent and used and rows < min(job.rows_left, max_rows):
            continue
        if math.isfinite(within) and now + seconds(reducer, used + rows) > within:
            if job not in urgent and job is not leader:
                continue
            rows = largest_fit(rows, partial(_fits, within - now, seconds, reducer, used))
            rows = rows or (job is leader and not used)  # a leader gets one row even if it seems too late
        if rows:
            batch.append(job.take(rows))
            used, limit = used + rows, within
    return batch, now + seconds(reducer, used)


def _trim(job: Job, now: float, seconds: Seconds) -> None:
    """Leaves out the rows that are too late even if the job goes first from now on."""
    if not math.isfinite(job.due):
        return
    if now >= job.due:
        return job.cut(job.taken)
    reducer = job.reduction.reducer
    if now + seconds(reducer, job.rows_left) > job.due:
        fit = largest_fit(job.rows_left, partial(_fits, job.due - now, seconds, reducer, 0))
        job.cut(job.taken + (fit or not job.taken))


def _is_urgent(job: Job, end: float, seconds: Seconds) -> bool:
    """Whether the job would lose rows by waiting until `end`."""
    return math.isfinite(job.due) and end + seconds(job.reduction.reducer, job.rows_left) > job.due


def _cannot_finish(job: Job, end: float, seconds: Seconds) -> bool:
    return end + seconds(job.reduction.reducer, 1) > job.due


def _fits(within: float, seconds: Seconds, reducer: Reducer, used: int, more: int) -> bool:
    return seconds(reducer, used + more) <= within


def largest_fit(rows: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `rows` that fits, or 0. `fits` must hold for every number below one that fits."""
    few, many = 0, rows
    while few < many:
        middle = (few + many + 1) // 2
        few, many = (middle, many) if fits(middle) else (few, middle - 1)
    return few
