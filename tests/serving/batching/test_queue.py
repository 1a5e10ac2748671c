from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.harness import EXACT
from tests.serving.toys import Halved
from tta_service.core.reducer import Reducer, Reduction
from tta_service.serving.batching.choice import MAX_OVERTAKEN, SMALL, largest_fit
from tta_service.serving.batching.jobs import Job, JobSlice
from tta_service.serving.batching.queue import BatchQueue
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


def queue_of(*jobs: Job, room: int = 8, weights: dict[str, float] | None = None) -> BatchQueue:
    queue = BatchQueue(room, KnownCosts(room), weights)
    queue.waiting += jobs
    return queue


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def job(loop: asyncio.AbstractEventLoop, rows: int, due: float = math.inf, how: Reduction = EXACT, **more: Any) -> Job:
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
    queue, served, passed_over = queue_of(*jobs, room=room), list[JobSlice](), 0
    seats = max(1, room // SMALL) if room > 1 else 0
    while True:
        here = [each for each in queue.waiting if not each.done.done()]
        before = {each: each.rows_left for each in here}
        batch = queue.next_batch(0.0)
        if not batch:
            break
        passed_over = passed_over + 1 if batch[0].job is not here[0] else 0
        assert passed_over <= 1  # the oldest lets a small one with another key go first, once after a batch of its own
        assert not passed_over or (here[0].taken and SMALL * before[batch[0].job] <= max(SMALL, room))
        used = sum(part.rows for part in batch)
        assert used <= room and len({part.job.key for part in batch}) == 1
        joined = {part.job for part in batch}
        left_out = [each for each in here if each not in joined and each.key == batch[0].job.key]
        small = sum(part.rows for part in batch if SMALL * before[part.job] <= max(SMALL, room))
        for each in left_out:
            if SMALL * before[each] <= max(SMALL, room):  # left out only where small ones have their seats
                assert small + before[each] > seats or used + before[each] > room
            else:
                assert min(before[each], room) > room - used - seats
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
    slow, patient = job(loop, 8), job(loop, 4, due=60.0)
    assert rows_of(queue_of(slow, patient).next_batch(0.0)) == [(slow, 0, 8)]


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


def test_a_small_job_has_a_seat_beside_a_large_one(loop):
    large, plain = job(loop, 64), job(loop, 1)
    queue = queue_of(large, plain)
    assert rows_of(queue.next_batch(0.0)) == [(large, 0, 7), (plain, 0, 1)]
    queue.waiting += [job(loop, 1) for _ in range(5)]
    assert [part.rows for part in queue.next_batch(0.0)] == [6, 1, 1]  # a quarter of the batch


def test_a_small_job_with_another_key_goes_between_two_batches_of_a_large_one(loop):
    large, small = job(loop, 24), [job(loop, 1, how=HALVED), job(loop, 1, how=HALVED)]
    queue = queue_of(large, small[0])
    assert [queue.next_batch(0.0)[0].job for _ in range(2)] == [large, small[0]]
    queue.waiting.append(small[1])
    assert [queue.next_batch(0.0)[0].job for _ in range(3)] == [large, small[1], large]


@pytest.mark.parametrize("how", [EXACT, HALVED], ids=["one key", "two keys"])
def test_who_asks_for_ten_times_as_much_delays_another_by_one_batch_at_most(loop, how):
    """Whatever is waiting, a client's first row is in the next batch."""
    queue = queue_of(*(job(loop, 64, client="greedy") for _ in range(10)))
    for _ in range(12):
        queue.next_batch(0.0)
        plain = job(loop, 1, how=how, client="gate")
        queue.waiting.append(plain)
        assert plain in [part.job for part in queue.next_batch(0.0)]


def test_clients_share_the_tower_by_weight_in_slices(loop):
    queue = queue_of(room=16, weights={"gold": 3.0})
    rows = Counter[str]()
    for _ in range(40):
        for client in ("a", "gold", "b"):
            while sum(each.rows_left for each in queue.waiting if each.client == client) < 200:
                queue.waiting.append(job(loop, 50, client=client))
        batch = queue.next_batch(0.0)
        assert sum(part.rows for part in batch) == 16
        for part in batch:
            rows[part.job.client] += part.rows
    shares = {client: count / 640 for client, count in rows.items()}
    assert shares == pytest.approx({"a": 0.2, "b": 0.2, "gold": 0.6}, abs=0.02)


def test_who_pays_for_other_work_of_the_device_has_less_of_batches(loop):
    queue, rows = queue_of(room=16), Counter[str]()
    full = queue.costs.estimate_forward(EXACT.reducer, 16).likely
    for number in range(3000):  # clients that come and go
        queue.charge_seconds(f"gone {number}", 1.0)
    for _ in range(40):
        for client in ("texts", "pictures"):
            while sum(each.rows_left for each in queue.waiting if each.client == client) < 200:
                queue.waiting.append(job(loop, 50, client=client))
        queue.charge_seconds("texts", 1.0)
        for part in queue.next_batch(0.0):
            rows[part.job.client] += part.rows
    assert rows["pictures"] - rows["texts"] == pytest.approx(40 / full * 16, abs=8)  # as many as fit into these seconds


def test_who_is_back_has_no_shares_saved_up(loop):
    queue, rows = queue_of(room=8), Counter[str]()
    queue.waiting += [job(loop, 800, client=client) for client in ("a", "b")]
    for _ in range(20):
        queue.next_batch(0.0)
    queue.waiting.append(job(loop, 800, client="c"))
    for _ in range(30):
        for part in queue.next_batch(0.0):
            rows[part.job.client] += part.rows
    assert all(count == pytest.approx(80, abs=8) for count in rows.values()) and len(rows) == 3


def test_who_needs_small_batches_for_a_deadline_pays_for_them(loop):
    """Forwards of one row take two seconds, of eight rows nine: one client hurries, the other one has its time."""
    queue, now, spent = queue_of(job(loop, 4000, client="patient")), 0.0, Counter[str]()
    for _ in range(200):
        queue.waiting.append(job(loop, 1, due=now + 2.5, fewest=1, rest=1, client="hurried"))
        batch = queue.next_batch(now)
        took = seconds(EXACT.reducer, sum(part.rows for part in batch))
        spent["hurried" if len(batch) == 1 and batch[0].job.client == "hurried" else "patient"] += took
        now += took
    assert 0.4 < spent["patient"] / sum(spent.values()) < 0.7


@given(st.integers(0, 100), st.integers(0, 100))
def test_most(rows: int, limit: int):
    assert largest_fit(rows, lambda n: n <= limit) == min(rows, limit)


@pytest.mark.parametrize("large", [64, 512])
def test_small_calls_beside_a_loop_of_large_ones_wait_two_forwards_and_take_no_throughput(
    loop: asyncio.AbstractEventLoop, large: int
):
    """One client; a forward of r rows takes 2 + 3 r ms, as on a processor, whose batches have 16 rows."""
    alone, _ = throughput(loop, (large,))
    beside, waits = throughput(loop, (large, 1))
    assert beside >= 0.95 * alone
    assert max(waits) <= 2 * (0.002 + 16 * 0.003) and len(waits) > 50


def throughput(loop: asyncio.AbstractEventLoop, sizes: tuple[int, ...]) -> tuple[float, list[float]]:
    """Rows a second of callers who ask for so many rows again and again, and how long those of one row waited."""
    queue, now, rows, waits = BatchQueue(16, CostModel(16)), 0.0, 0, list[float]()
    due = [(0.001 * place, size) for place, size in enumerate(sizes)]
    while now < 10:
        for at, size in [one for one in due if one[0] <= now]:
            due.remove((at, size))
            views = torch.empty(size, 1)
            queue.waiting.append(Job(views, size, EXACT, None, at, loop.create_future(), client="one"))
        if not queue.waiting:
            now = min(due)[0]
            continue
        batch = queue.next_batch(now)
        now += 0.002 + 0.003 * sum(part.rows for part in batch)
        rows += sum(part.rows for part in batch)
        for job in [part.job for part in batch if not part.job.rows_left]:
            job.done.cancel()
            waits += [now - job.arrived] * (job.rows == 1)
            due.append((now + 0.002, job.rows))
    return rows / now, waits
