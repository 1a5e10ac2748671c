from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.harness import EXACT
from tests.serving.toys import Halved
from tta_service.core.reducer import Reducer, Reduction
from tta_service.serving.batching.jobs import Job, JobSlice
from tta_service.serving.batching.queue import MAX_OVERTAKEN, BatchQueue, largest_fit
from tta_service.serving.costs.estimators import Estimate
from tta_service.serving.costs.model import CostModel

HALVED = Reduction(Halved())


def seconds(reducer: Reducer, rows: int) -> float:
    """A forward takes one second and another one for each row."""
    return rows and -(-rows // 8) + float(rows)


class KnownCosts(CostModel):
    """Seconds that are known for certain."""

    def estimate_forward(self, reducer: Reducer, rows: int) -> Estimate:
        return Estimate(seconds(reducer, rows))

    def estimate_encode(self, reducer: Reducer, rows: int) -> Estimate:
        return Estimate(seconds(reducer, rows))


def queue_of(*jobs: Job, room: int = 8) -> BatchQueue:
    queue = BatchQueue(room, KnownCosts(room))
    queue.waiting += jobs
    return queue


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def job(loop: asyncio.AbstractEventLoop, rows: int, due: float = math.inf, how: Reduction = EXACT, **more: int) -> Job:
    return Job(torch.empty(0), rows, how, None, 0.0, loop.create_future(), due, **more)


def rows_of(batch: list[JobSlice]) -> list[tuple[Job, int, int]]:
    return [(part.job, part.start, part.start + part.rows) for part in batch]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=12), st.integers(1, 8))
def test_batches_are_full_of_one_key_and_no_job_starves(asked: list[tuple[int, bool, bool]], room: int):
    loop = asyncio.new_event_loop()
    jobs: list[Job] = []
    for rows, reduced, left in asked:
        jobs.append(job(loop, rows, how=HALVED if reduced else EXACT))
        if left:
            jobs[-1].done.cancel()
    queue, served = queue_of(*jobs, room=room), list[JobSlice]()
    while True:
        here = [each for each in queue.waiting if not each.done.done()]
        before = {each: each.rows_left for each in here}
        batch = queue.next_batch(0.0)
        if not batch:
            break
        assert batch[0].job is here[0]  # the oldest
        used = sum(part.rows for part in batch)
        assert used <= room and len({part.job.key for part in batch}) == 1
        joined = {part.job for part in batch}
        left_out = [each for each in here if each not in joined and each.key == batch[0].job.key]
        assert all(min(before[each], room) > room - used for each in left_out)
        served += batch
    for each in jobs:
        mine = sorted((part.start, part.start + part.rows) for part in served if part.job is each)
        rows = 0 if each.done.cancelled() else each.rows
        assert [row for start, stop in mine for row in range(start, stop)] == list(range(rows))
    loop.close()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.one_of(st.just(math.inf), st.floats(0, 60)), st.booleans()), max_size=12),
    st.integers(1, 8),
)
def test_whatever_the_deadlines_rows_come_once_in_order_and_all_jobs_end(
    asked: list[tuple[int, float, bool]], room: int
):
    loop = asyncio.new_event_loop()
    jobs = [job(loop, rows, due, HALVED if reduced else EXACT, fewest=4, rest=1) for rows, due, reduced in asked]
    wished, now, queue = [each.rows for each in jobs], 0.0, queue_of(*jobs, room=room)
    served = {each: list[int]() for each in jobs}
    while queue.waiting:
        batch = queue.next_batch(now)
        assert batch or not queue.waiting
        for part in batch:
            served[part.job] += range(part.start, part.start + part.rows)
        now += seconds(EXACT.reducer, sum(part.rows for part in batch))
    for each, rows in zip(jobs, wished):
        assert served[each] == list(range(each.rows)) and each.rows_left == 0
        assert math.isfinite(each.due) or each.rows == rows
        assert each.rows or each.done.done()  # it was told at once that it gets nothing
    loop.close()


def test_the_most_urgent_job_goes_first_and_bounds_its_batch(loop):
    slow, plain = job(loop, 8), job(loop, 1, due=4.0)
    queue = queue_of(slow, plain)
    assert rows_of(queue.next_batch(0.0)) == [(plain, 0, 1)]  # 9 s with the other one
    assert rows_of(queue.next_batch(2.0)) == [(slow, 0, 8)]


def test_a_job_with_time_waits_for_its_turn(loop):
    slow, plain = job(loop, 8), job(loop, 1, due=60.0)
    assert rows_of(queue_of(slow, plain).next_batch(0.0)) == [(slow, 0, 8)]


def test_urgent_plain_views_share_a_forward(loop):
    hurried = [job(loop, 1, due=8.0) for _ in range(4)]
    assert rows_of(queue_of(job(loop, 8), *hurried).next_batch(0.0)) == [(each, 0, 1) for each in hurried]


def test_a_large_urgent_job_leaves_time_for_a_plain_view(loop):
    large, plain = job(loop, 8, due=12.0), job(loop, 1, due=6.0)
    queue = queue_of(large, plain)
    assert rows_of(queue.next_batch(0.0)) == [(plain, 0, 1), (large, 0, 4)]  # 6 s
    assert rows_of(queue.next_batch(6.0)) == [(large, 4, 8)]


def test_rows_that_would_be_late_are_left_out(loop):
    late = job(loop, 16, due=9.0, fewest=4, rest=1)
    queue = queue_of(late)
    assert rows_of(queue.next_batch(0.0)) == [(late, 0, 8)] and late.rows == 8 and not queue.waiting


def test_when_too_few_rows_fit_only_the_plain_view_is_encoded(loop):
    late = job(loop, 16, due=4.0, fewest=4, rest=1)
    assert rows_of(queue_of(late).next_batch(0.0)) == [(late, 0, 1)]


def test_a_job_that_needs_all_rows_gets_all_or_none(loop):
    late = job(loop, 16, due=9.0, fewest=16)
    assert not queue_of(late).next_batch(0.0) and late.done.done() and late.rows == 0


def test_a_plain_view_is_tried_until_its_deadline_has_passed(loop):
    late = job(loop, 1, due=1.5, fewest=1, rest=1)
    assert rows_of(queue_of(late).next_batch(1.0)) == [(late, 0, 1)]
    gone = job(loop, 1, due=1.5, fewest=1, rest=1)
    assert not queue_of(gone).next_batch(1.5) and gone.done.result().count == 0


def test_a_job_that_gets_no_more_rows_in_time_ends_with_those_it_has(loop):
    begun = job(loop, 16, due=11.5, how=HALVED, fewest=4, rest=1)
    begun.pieces[begun.take(8).start] = torch.zeros(8, 2)
    urgent = job(loop, 8, due=11.0)
    assert rows_of(queue_of(begun, urgent).next_batch(1.0)) == [(urgent, 0, 8)]
    assert begun.done.result().count == begun.rows == 8


def test_the_oldest_job_is_overtaken_a_bounded_number_of_times(loop):
    oldest, now, leaders = job(loop, 8), 0.0, list[Job]()
    queue = queue_of(oldest)
    for _ in range(MAX_OVERTAKEN + 1):
        queue.waiting.append(job(loop, 1, due=now + 3.0, how=HALVED))
        leaders.append(queue.next_batch(now)[0].job)
        now += 2.0
    assert leaders[-1] is oldest and oldest not in leaders[:-1]


def test_a_batch_leaves_time_for_a_job_that_is_expected(loop):
    slow = [job(loop, 4), job(loop, 4)]
    queue = queue_of(*slow)
    with queue.expect(EXACT.reducer, 8.0):  # its row takes 2 s
        assert rows_of(queue.next_batch(0.0)) == [(slow[0], 0, 4)]
    assert rows_of(queue.next_batch(0.0)) == [(slow[1], 0, 4)]


def test_without_a_deadline_nothing_is_estimated(loop):
    class Unasked(CostModel):
        def estimate_forward(self, reducer: Reducer, rows: int) -> Estimate:
            raise AssertionError

    queue, jobs = BatchQueue(8, Unasked(8)), [job(loop, 3), job(loop, 8), job(loop, 2)]
    queue.waiting += jobs
    with queue.expect(EXACT.reducer, math.inf):
        assert rows_of(queue.next_batch(0.0)) == [(jobs[0], 0, 3), (jobs[2], 0, 2)]
        assert rows_of(queue.next_batch(0.0)) == [(jobs[1], 0, 8)]


@given(st.integers(0, 100), st.integers(0, 100))
def test_most(rows: int, limit: int):
    assert largest_fit(rows, lambda n: n <= limit) == min(rows, limit)
