from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import acquire, settle
from tests.serving.manual_executor import ManualExecutor
from tta_service.serving.concurrency import CooperativeTask, SingleFlight, make_executors, run


def threads() -> int:
    torch.ones(2) @ torch.ones(2)
    return torch.get_num_threads()


async def test_each_lane_keeps_its_own_number_of_threads():
    four = make_executors(prepare=1, adapt=1, cores=4)
    try:
        for _ in range(2):  # in any order, whatever the others have said meanwhile
            for lane, expected in ((four.tune, 2), (four.device, 4), (four.adapt, 1), (four.prepare, 1)):
                assert await run(lane, threads) == expected
    finally:
        four.close()


async def test_work_that_has_not_started_can_be_cancelled():
    one, go, done = make_executors(cores=1), threading.Event(), list[int]()
    first = run(one.tune, go.wait, PATIENCE)
    second = run(one.tune, done.append, 1)
    second.cancel()
    await settle()  # the lane hears of it in the next round of the loop
    go.set()
    await first
    await run(one.tune, done.append, 2)
    assert done == [2]
    one.close()


async def test_closing_drops_work_that_has_not_started():
    one, go, inside = make_executors(cores=1), threading.Event(), threading.Semaphore(0)

    def working() -> bool:
        inside.release()
        return go.wait(PATIENCE)

    first, second = run(one.device, working), run(one.device, working)
    assert await acquire(inside)  # the first has begun
    closing = asyncio.create_task(asyncio.to_thread(one.close))
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    await closing
    assert await first


def count_to(values: list[int], to: int) -> Generator[None, None, str]:
    for number in range(to):
        values.append(number)
        yield
    return "done"


async def test_other_work_runs_between_two_steps():
    lane, values = ManualExecutor(), list[int]()
    making = asyncio.ensure_future(CooperativeTask(lambda: count_to(values, 3)).run(lane))
    await settle()
    other = asyncio.wrap_future(lane.submit(values.append, 99))
    while not making.done():
        lane.step()
        await settle()
    assert making.result() == "done" and values == [0, 99, 1, 2]
    assert await other is None


async def test_work_without_steps_is_one_step():
    with ThreadPoolExecutor(1) as lane:
        steps = CooperativeTask(lambda: 7)
        assert await steps.run(lane) == 7 and steps.seconds > 0


async def test_a_step_that_raises_ends_it():
    def failing() -> Generator[None, None, int]:
        yield
        raise ZeroDivisionError

    with ThreadPoolExecutor(1) as lane, pytest.raises(ZeroDivisionError):
        await CooperativeTask(failing).run(lane)


async def test_concurrent_callers_share_one_call_and_its_failure():
    flight, made = SingleFlight[str, int](), list[asyncio.Future[int]]()

    def make() -> asyncio.Future[int]:
        made.append(asyncio.get_running_loop().create_future())
        return made[-1]

    kept: list[int] = []
    tasks = [asyncio.create_task(flight.get("a", make, kept.append)) for _ in range(3)]
    other = asyncio.create_task(flight.get("b", make, kept.append))
    await settle()
    tasks[0].cancel()
    made[0].set_exception(OSError("once"))
    made[1].set_result(7)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [asyncio.CancelledError, OSError, OSError]
    assert await other == 7 and kept == [7] and len(made) == 2 and len(flight) == 0
    again = asyncio.create_task(flight.get("a", make, kept.append))
    await settle()
    made[2].set_result(8)
    assert await again == 8 and kept == [7, 8]


async def test_a_call_that_cannot_start_leaves_nothing_behind():
    flight = SingleFlight[str, int]()

    def make() -> asyncio.Future[int]:
        raise OSError

    with pytest.raises(OSError):
        await flight.get("a", make, lambda made: None)
    assert len(flight) == 0
