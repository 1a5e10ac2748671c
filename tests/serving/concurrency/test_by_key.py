from __future__ import annotations

import asyncio

import pytest

from tests.serving.harness import settle
from tta_service.serving.concurrency.by_key import SingleFlight


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
