from __future__ import annotations

import asyncio

import pytest

from tests.serving.harness import settle
from tta_service.core.errors import NotReady, Overloaded
from tta_service.serving.admission.controller import AdmissionController
from tta_service.serving.admission.quotas import ClientQuota
from tta_service.serving.admission.tickets import Claim


class Visitors:
    """Who is inside, in the order of entering."""

    def __init__(self, door: AdmissionController) -> None:
        self.door, self.order, self.leave = door, list[str](), dict[str, asyncio.Event]()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def comes(self, name: str, rows: int, streamed: bool = False) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._visit(name, rows, streamed))
        await settle()

    async def leaves(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]
        await settle()

    async def _visit(self, name: str, rows: int, streamed: bool) -> None:
        with await self.door.acquire(Claim(rows, streamed)):
            self.order.append(name)
            await self.leave[name].wait()


async def test_first_come_first_served_and_nobody_overtakes_a_large_one():
    visitors = Visitors(AdmissionController(10))
    for name, rows in (("a", 6), ("b", 6), ("c", 1)):
        await visitors.comes(name, rows)
    assert visitors.order == ["a"]  # c would fit, but b is first
    await visitors.leaves("a")
    assert visitors.order == ["a", "b", "c"]
    for name in "bc":
        await visitors.leaves(name)
    assert visitors.door.running_rows == visitors.door.queued_rows == visitors.door.waiting == 0


async def test_single_calls_go_before_streams():
    visitors = Visitors(AdmissionController(1))
    await visitors.comes("inside", 1)
    await visitors.comes("stream 1", 1, streamed=True)
    await visitors.comes("stream 2", 1, streamed=True)
    await visitors.comes("single", 1)
    for name in ("inside", "single", "stream 1", "stream 2"):
        await visitors.leaves(name)
    assert visitors.order == ["inside", "single", "stream 1", "stream 2"]


async def test_a_request_larger_than_the_room_enters_alone():
    visitors = Visitors(AdmissionController(4))
    await visitors.comes("small", 1)
    await visitors.comes("huge", 100)
    await visitors.comes("after", 1)
    assert visitors.order == ["small"]
    await visitors.leaves("small")
    assert visitors.order == ["small", "huge"]
    await visitors.leaves("huge")
    assert visitors.order == ["small", "huge", "after"]
    await visitors.leaves("after")


async def test_a_waiter_who_leaves_makes_room_for_the_next():
    visitors = Visitors(AdmissionController(2))
    await visitors.comes("inside", 1)
    await visitors.comes("large", 2)
    await visitors.comes("small", 1)
    visitors.tasks["large"].cancel()
    await settle()
    assert visitors.order == ["inside", "small"] and visitors.door.waiting == visitors.door.queued_rows == 0
    for name in ("inside", "small"):
        await visitors.leaves(name)
    assert visitors.door.running_rows == 0


async def test_a_waiter_who_leaves_in_the_moment_of_being_let_in_gives_its_rows_back():
    door = AdmissionController(1)
    with await door.acquire(Claim(1)):
        waiter = asyncio.create_task(door.acquire(Claim(1)))
        await settle()
    assert not waiter.done() and door.running_rows == 1  # let in, but it has not woken yet
    waiter.cancel()
    await settle()
    assert waiter.cancelled() and door.running_rows == 0
    with await door.acquire(Claim(1)):
        assert door.running_rows == 1


async def test_beyond_a_bounded_number_of_waiters_the_door_says_when_to_come_back():
    now = [0.0]
    door = AdmissionController(4, max_waiting=2, clock=lambda: now[0])
    with await door.acquire(Claim(4)):
        now[0] = 2.0  # four rows in two seconds
    with await door.acquire(Claim(4)):
        waiting = [asyncio.create_task(door.acquire(Claim(4))) for _ in range(2)]
        await settle()
        with pytest.raises(Overloaded) as refused:
            await door.acquire(Claim(1))
        assert refused.value.retry_after == pytest.approx(12 / 2, rel=0.3)
        assert door.waiting == 2
        for task in waiting:
            task.cancel()
        await settle()
    assert door.running_rows == door.waiting == 0


async def test_work_that_turns_out_to_be_more_counts_until_it_is_done():
    door = AdmissionController(4, quota=ClientQuota(10, 0.5))
    with await door.acquire(Claim(1, cost=1, client="ann")) as place:
        place.resize(2, 6)
        assert (door.running_rows, door.cost) == (2, 6)
        with pytest.raises(Overloaded, match="your share"):
            await door.acquire(Claim(1, cost=1, client="ann"))
        with await door.acquire(Claim(1, cost=1, client="bob")):
            assert door.cost == 7
        place.resize(1)
        assert (door.running_rows, door.cost) == (1, 6)
    assert (door.running_rows, door.cost) == (0, 0)
    with await door.acquire(Claim(1, cost=5, client="ann")):
        assert door.cost == 5


async def test_resizing_never_waits_and_lets_others_in():
    visitors = Visitors(AdmissionController(4))
    with await visitors.door.acquire(Claim(4)) as place:
        await visitors.comes("next", 2)
        assert visitors.order == []
        place.resize(1)
        await settle()
        assert visitors.order == ["next"]
        place.resize(64)
        await visitors.comes("last", 1)
        assert visitors.order == ["next"]
        await visitors.leaves("next")
    await settle()
    assert visitors.order == ["next", "last"]
    await visitors.leaves("last")
    assert visitors.door.running_rows == 0


async def test_a_closed_door_turns_everybody_away_and_empties():
    visitors = Visitors(AdmissionController(1))
    await visitors.comes("inside", 1)
    await visitors.comes("outside", 1)
    visitors.door.close()
    with pytest.raises(NotReady):
        await visitors.tasks["outside"]
    with pytest.raises(NotReady):
        await visitors.door.acquire(Claim(1))
    emptied = asyncio.create_task(visitors.door.wait_idle())
    await settle()
    assert not emptied.done() and visitors.door.queued_rows == 0
    await visitors.leaves("inside")
    await emptied


async def test_who_is_let_in_while_an_earlier_one_wakes_up_stays_behind_it():
    door, order = AdmissionController(2), list[str]()

    async def earlier() -> None:
        with await door.acquire(Claim(1)):
            order.append("earlier")

    with await door.acquire(Claim(2)):
        waiting = asyncio.create_task(earlier())
        await settle()
    with await door.acquire(Claim(1)):  # there is room at once
        order.append("later")
    await waiting
    assert order == ["earlier", "later"]


async def test_many_cameras_at_the_door_do_not_keep_single_calls_away():
    visitors = Visitors(AdmissionController(1, max_waiting=1))
    await visitors.comes("inside", 1)
    await visitors.comes("camera", 1, streamed=True)
    with pytest.raises(Overloaded):
        await visitors.door.acquire(Claim(1, streamed=True))
    await visitors.comes("single", 1)
    for name in ("inside", "single", "camera"):
        await visitors.leaves(name)
    assert visitors.order == ["inside", "single", "camera"]
