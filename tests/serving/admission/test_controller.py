from __future__ import annotations

import asyncio

import pytest

from tests.serving.harness import harness, settle
from tta_service.core.errors import NotReady, Overloaded
from tta_service.serving.admission.claims import Claim, ClientQuota
from tta_service.serving.admission.controller import AdmissionController


class Requests:
    """Requests at one admission controller, and the order in which they were admitted."""

    def __init__(self, admission: AdmissionController) -> None:
        self.admission, self.admitted, self.released = admission, list[str](), dict[str, asyncio.Event]()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, name: str, rows: int, streamed: bool = False, client: str = "") -> None:
        self.released[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, Claim(rows, streamed, rows, client)))
        await settle()

    async def finish(self, name: str) -> None:
        self.released[name].set()
        await self.tasks[name]
        await settle()

    async def _run(self, name: str, claim: Claim) -> None:
        with await self.admission.acquire(claim):
            self.admitted.append(name)
            await self.released[name].wait()


async def test_requests_run_in_order_of_arrival_and_a_large_one_is_not_overtaken():
    requests = Requests(AdmissionController(10))
    for name, rows in (("a", 6), ("b", 6), ("c", 1)):
        await requests.arrive(name, rows)
    assert requests.admitted == ["a"]  # c would fit, but b is first
    await requests.finish("a")
    assert requests.admitted == ["a", "b", "c"]
    for name in "bc":
        await requests.finish(name)
    assert requests.admission.running_rows == requests.admission.queued_rows == requests.admission.waiting == 0


async def test_single_calls_go_before_streams():
    requests = Requests(AdmissionController(1))
    await requests.arrive("running", 1)
    await requests.arrive("stream 1", 1, streamed=True)
    await requests.arrive("stream 2", 1, streamed=True)
    await requests.arrive("single", 1)
    for name in ("running", "single", "stream 1", "stream 2"):
        await requests.finish(name)
    assert requests.admitted == ["running", "single", "stream 1", "stream 2"]


async def test_a_request_above_the_capacity_runs_alone():
    requests = Requests(AdmissionController(4))
    await requests.arrive("small", 1)
    await requests.arrive("huge", 100)
    await requests.arrive("after", 1)
    assert requests.admitted == ["small"]
    await requests.finish("small")
    assert requests.admitted == ["small", "huge"]
    await requests.finish("huge")
    assert requests.admitted == ["small", "huge", "after"]
    await requests.finish("after")


async def test_a_cancelled_waiter_lets_the_next_run():
    requests = Requests(AdmissionController(2))
    await requests.arrive("running", 1)
    await requests.arrive("large", 2)
    await requests.arrive("small", 1)
    requests.tasks["large"].cancel()
    await settle()
    assert (
        requests.admitted == ["running", "small"] and requests.admission.waiting == requests.admission.queued_rows == 0
    )
    for name in ("running", "small"):
        await requests.finish(name)
    assert requests.admission.running_rows == 0


async def test_a_waiter_cancelled_at_the_moment_of_admission_gives_its_rows_back():
    admission = AdmissionController(1)
    with await admission.acquire(Claim(1)):
        waiter = asyncio.create_task(admission.acquire(Claim(1)))
        await settle()
    assert not waiter.done() and admission.running_rows == 1  # admitted, but not awake yet
    waiter.cancel()
    await settle()
    assert waiter.cancelled() and admission.running_rows == 0
    with await admission.acquire(Claim(1)):
        assert admission.running_rows == 1


async def test_beyond_a_bounded_number_of_waiters_the_error_gives_a_time_to_retry():
    now = [0.0]
    admission = AdmissionController(4, max_waiting=2, clock=lambda: now[0])
    with await admission.acquire(Claim(4)):
        now[0] = 2.0  # four rows in two seconds
    with await admission.acquire(Claim(4)):
        waiting = [asyncio.create_task(admission.acquire(Claim(4))) for _ in range(2)]
        await settle()
        with pytest.raises(Overloaded) as refused:
            await admission.acquire(Claim(1))
        assert refused.value.retry_after == pytest.approx(12 / 2, rel=0.3)
        assert admission.waiting == 2
        for task in waiting:
            task.cancel()
        await settle()
    assert admission.running_rows == admission.waiting == 0


async def test_work_that_turns_out_to_be_more_counts_until_it_is_done():
    admission = AdmissionController(4, quota=ClientQuota(10, 0.5))
    with await admission.acquire(Claim(1, cost=1, client="ann")) as permit:
        permit.resize(2, 6)
        assert (admission.running_rows, admission.cost) == (2, 6)
        with pytest.raises(Overloaded, match="your share"):
            await admission.acquire(Claim(1, cost=1, client="ann"))
        with await admission.acquire(Claim(1, cost=1, client="bob")):
            assert admission.cost == 7
        permit.resize(1)
        assert (admission.running_rows, admission.cost) == (1, 6)
    assert (admission.running_rows, admission.cost) == (0, 0)
    with await admission.acquire(Claim(1, cost=5, client="ann")):
        assert admission.cost == 5


async def test_resizing_never_waits_and_admits_others():
    requests = Requests(AdmissionController(4))
    with await requests.admission.acquire(Claim(4)) as permit:
        await requests.arrive("next", 2)
        assert requests.admitted == []
        permit.resize(1)
        await settle()
        assert requests.admitted == ["next"]
        permit.resize(64)
        await requests.arrive("last", 1)
        assert requests.admitted == ["next"]
        await requests.finish("next")
    await settle()
    assert requests.admitted == ["next", "last"]
    await requests.finish("last")
    assert requests.admission.running_rows == 0


async def test_a_closed_controller_refuses_all_and_becomes_idle():
    requests = Requests(AdmissionController(1))
    await requests.arrive("running", 1)
    await requests.arrive("waiting", 1)
    requests.admission.close()
    with pytest.raises(NotReady):
        await requests.tasks["waiting"]
    with pytest.raises(NotReady):
        await requests.admission.acquire(Claim(1))
    assert requests.admission.running_requests == 1 and requests.admission.queued_rows == 0
    await requests.finish("running")
    assert requests.admission.running_requests == 0


async def test_a_request_admitted_while_an_earlier_one_wakes_up_runs_after_it():
    admission, order = AdmissionController(2), list[str]()

    async def earlier() -> None:
        with await admission.acquire(Claim(1)):
            order.append("earlier")

    with await admission.acquire(Claim(2)):
        waiting = asyncio.create_task(earlier())
        await settle()
    with await admission.acquire(Claim(1)):  # there is capacity at once
        order.append("later")
    await waiting
    assert order == ["earlier", "later"]


async def test_waiting_streams_do_not_keep_single_calls_out():
    requests = Requests(AdmissionController(1, max_waiting=1))
    await requests.arrive("running", 1)
    await requests.arrive("stream", 1, streamed=True)
    with pytest.raises(Overloaded):
        await requests.admission.acquire(Claim(1, streamed=True))
    await requests.arrive("single", 1)
    for name in ("running", "single", "stream"):
        await requests.finish(name)
    assert requests.admitted == ["running", "single", "stream"]


async def test_the_first_request_of_a_client_waits_for_no_other_client():
    requests = Requests(AdmissionController(4))
    for place in range(10):
        await requests.arrive(f"greedy {place}", 4, client="greedy")
    await requests.arrive("gate", 1, client="gate")
    assert requests.admitted == ["greedy 0", "gate"]
    await requests.arrive("huge", 100, client="lab")  # of the place beyond the capacity it takes half
    await requests.arrive("huge too", 100, client="mill")
    await requests.arrive("door", 1, client="door")
    assert requests.admitted == ["greedy 0", "gate", "huge", "door"]
    await requests.finish("gate")
    await requests.finish("door")
    assert requests.admitted == ["greedy 0", "gate", "huge", "door", "huge too"]


async def test_clients_take_turns_by_what_their_requests_cost_and_their_weights():
    requests = Requests(AdmissionController(1, weights={"gold": 2.0}))
    for client in ("a", "b", "gold"):
        for place in range(8):
            await requests.arrive(f"{client} {place}", 1, client=client)
    while len(requests.admitted) < 12:
        await requests.finish(next(name for name in requests.admitted if not requests.released[name].is_set()))
    counts = {client: sum(name.startswith(client) for name in requests.admitted) for client in ("a", "b", "gold")}
    assert counts["gold"] in (5, 6, 7) and abs(counts["a"] - counts["b"]) <= 1
    for task in requests.tasks.values():
        task.cancel()
    await settle()


async def test_small_requests_have_seats_beside_large_ones():
    requests = Requests(AdmissionController(10, seats=2))
    for name in ("large 1", "large 2", "large 3"):
        await requests.arrive(name, 8)
    for name in ("small 1", "small 2", "small 3"):
        await requests.arrive(name, 1)
    assert requests.admitted == ["large 1", "small 1", "small 2"]
    await requests.finish("small 1")
    assert requests.admitted == ["large 1", "small 1", "small 2", "small 3"]
    await requests.finish("large 1")
    assert requests.admitted[-1] == "large 2"  # the small ones took nothing from them


@pytest.mark.parametrize("max_rows", [1, 2, 3])
async def test_however_few_rows_a_batch_has_one_is_for_small_requests(max_rows: int):
    async with harness(max_rows=max_rows, admission=None) as service:
        requests = Requests(service.admission)
        for name, rows in (("large 1", 2 * max_rows), ("large 2", 2 * max_rows), ("small 1", 1), ("small 2", 1)):
            await requests.arrive(name, rows)
        assert requests.admitted == ["large 1", "small 1"]
        for name in ("large 1", "small 1", "large 2", "small 2"):
            await requests.finish(name)


async def test_when_no_more_may_wait_the_client_with_most_waiting_gives_way():
    requests = Requests(AdmissionController(1, max_waiting=3))
    for place in range(4):
        await requests.arrive(f"greedy {place}", 1, client="greedy")
    with pytest.raises(Overloaded):
        await requests.admission.acquire(Claim(1, client="greedy"))
    for client in ("a", "b"):
        await requests.arrive(f"running {client}", 1, client=client)
    await requests.arrive("a", 1, client="a")
    with pytest.raises(Overloaded, match="wait already") as refused:
        await requests.tasks["greedy 3"]
    assert refused.value.retry_after and requests.admission.waiting == 3
    with pytest.raises(Overloaded):
        await requests.admission.acquire(Claim(1, client="a"))  # two of three would be no fewer than the others'
    for task in requests.tasks.values():
        task.cancel()
    await settle()
    assert requests.admission.running_rows == requests.admission.waiting == 0


async def test_what_is_refused_is_counted():
    admission = AdmissionController(1, max_waiting=1, quota=ClientQuota(100, 0.5))
    requests = Requests(admission)
    await requests.arrive("running", 1, client="a")
    await requests.arrive("waiting", 1, client="a")
    for _ in range(2):
        with pytest.raises(Overloaded):
            await admission.acquire(Claim(1, client="a"))
    with pytest.raises(Overloaded):
        await admission.acquire(Claim(1, streamed=True, cost=90, client="a"))
    assert (admission.running_requests, admission.waiting, admission.refused) == (1, 1, 3)
    for name in ("running", "waiting"):
        await requests.finish(name)
