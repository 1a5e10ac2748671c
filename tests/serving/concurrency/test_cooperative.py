from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.harness import settle
from tests.serving.manual_executor import ManualExecutor
from tta_service.serving.concurrency.executors import CooperativeTask


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
