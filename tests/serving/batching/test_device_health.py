from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from tests.patience import PATIENCE
from tests.serving.harness import EXACT, harness, make_rows, settle
from tta_service.core.errors import ModelFault, TTAError
from tta_service.core.events import Canary, Event
from tta_service.core.reducer import Reduction
from tta_service.serving.batching.batcher import Batcher
from tta_service.serving.batching.device_health import DeviceHealth, is_sticky


class Watched:
    def __init__(self, **given: float) -> None:
        self.now, self.changes, self.fatal = 0.0, list[tuple[bool, str]](), list[BaseException]()
        self.health = DeviceHealth(
            lambda serving, reason: self.changes.append((serving, reason)),
            self.fatal.append,
            clock=lambda: self.now,
            **given,
        )

    def after(self, seconds: float) -> bool:
        self.now += seconds
        self.health.check()
        return self.health.serving


def ready(**given: float) -> Watched:
    watched = Watched(**given)
    watched.health.ready(row_seconds=0.1)
    return watched


def test_it_serves_from_the_end_of_the_warm_up_until_it_drains():
    watched = Watched()
    assert not watched.health.serving and watched.health.reason == "warming up"
    watched.health.batch_started(1)
    watched.health.batch_ended(finite=True)
    assert not watched.health.serving  # a forward of the warm-up
    watched.health.ready(0.1)
    watched.health.drain()
    watched.health.batch_started(1)
    watched.health.batch_ended(finite=True)
    assert watched.changes == [(True, ""), (False, "draining")]


@pytest.mark.parametrize("rows, patience", [(1, 5.0), (64, 64.0)])
def test_a_batch_that_hangs_stops_serving_until_it_returns(rows: int, patience: float):
    watched = ready()
    watched.health.batch_started(rows)
    assert watched.after(patience - 0.1)
    assert not watched.after(0.2)
    watched.health.batch_ended(finite=True)
    assert watched.health.serving


def test_three_failures_in_a_row_stop_serving_and_one_good_forward_resumes_it():
    watched = ready()
    for failing in (True, True, False, True, True, True):
        assert watched.health.serving
        watched.health.batch_started(1)
        watched.health.batch_failed(RuntimeError("x")) if failing else watched.health.batch_ended(finite=True)
    assert not watched.health.serving
    watched.health.batch_started(1)
    watched.health.batch_ended(finite=True)
    assert watched.health.serving


def test_text_in_the_device_lane_does_not_count_as_a_stuck_batch_for_a_while():
    watched = ready()
    watched.now = 1.0
    with watched.health.pause_watchdog():
        watched.now = 2.0
        watched.health.batch_started(1)  # waits behind the text
        assert watched.after(60)
    assert watched.after(4.9)
    assert not watched.after(0.2)
    watched.health.batch_ended(finite=True)
    assert watched.health.serving
    watched.health.batch_started(1)
    with watched.health.pause_watchdog():
        assert watched.after(120)
        assert not watched.after(5.1)


def test_an_error_that_the_device_cannot_recover_from_is_fatal():
    watched = ready()
    watched.health.batch_started(1)
    watched.health.batch_failed(torch.OutOfMemoryError("CUDA error: out of memory"))
    assert watched.health.serving and not watched.fatal
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    watched.health.batch_started(1)
    watched.health.batch_failed(error)
    assert not watched.health.serving and watched.fatal == [error]
    assert not is_sticky(ValueError("a CUDA tensor where a CPU one is expected"))
    assert not is_sticky(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


class Device:
    """A tower that can be wedged and poisoned."""

    def __init__(self) -> None:
        self.free, self.value, self.forwards = threading.Event(), 1.0, 0
        self.free.set()

    def __call__(self, pixels: Tensor, reduction: Reduction, guide: Tensor | None) -> Tensor:
        assert self.free.wait(PATIENCE)
        self.forwards += 1
        return torch.full((len(pixels), 2), self.value)


class Changes:
    """Waits for changes of the health."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()

    def __call__(self, serving: bool, reason: str) -> None:
        self.changes.put_nowait((serving, reason))

    async def next(self) -> tuple[bool, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.changes.get()

    async def until(self, serving: bool, reason: str) -> None:
        """Skips other changes: on a busy machine a delayed canary may cause one."""
        while await self.next() != (serving, reason):
            pass


async def run_health(
    device: Device, changes: Changes, test: Callable[[DeviceHealth, Batcher], object], **given: float
) -> None:
    with ThreadPoolExecutor(1) as lane:
        health = DeviceHealth(changes, tick=0.005, **given)
        batcher = Batcher(device, lane, 8, health=health)
        health.ready(0.0001)
        assert await changes.next() == (True, "")
        running = [batcher.run(), health.run(lambda: batcher.encode(make_rows(1), EXACT))]
        tasks = [asyncio.create_task(each) for each in running]
        try:
            await test(health, batcher)
        finally:
            device.free.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_blocked_lane_stops_serving_until_it_is_free():
    device, changes = Device(), Changes()

    async def test(health: DeviceHealth, batcher: Batcher) -> None:
        device.free.clear()
        answer = batcher.submit(make_rows(1), EXACT)
        assert await changes.next() == (False, "a batch does not come back")
        device.free.set()
        assert await changes.next() == (True, "")
        await answer

    await run_health(device, changes, test, patience=0.05, canary_every=1000.0)


async def test_an_idle_service_detects_a_fault_by_its_canary():
    device, changes = Device(), Changes()

    async def test(health: DeviceHealth, batcher: Batcher) -> None:
        device.value = float("nan")
        await changes.until(False, "features are not finite")
        device.value = 1.0
        await changes.until(True, "")
        device.free.clear()
        await changes.until(False, "a batch does not come back")

    await run_health(device, changes, test, patience=0.05, canary_every=0.01)


async def test_a_canary_that_is_never_served_stops_serving():
    changes = Changes()
    health = DeviceHealth(changes, tick=0.005, patience=0.05, canary_every=0.01)
    health.ready(0.0001)
    await changes.next()
    task = asyncio.create_task(health.run(asyncio.Event().wait))  # the batcher is dead
    assert await changes.next() == (False, "a batch does not come back")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await settle()
    assert len(asyncio.all_tasks()) == 1


async def test_weights_that_are_not_numbers_stop_serving_and_each_caller_gets_the_error():
    async with harness(encode=lambda pixels, reduction, guide: torch.full((len(pixels), 64), torch.nan)) as service:
        service.health.ready(0.001)
        with pytest.raises(TTAError) as refused:
            await service.batcher.encode(make_rows(3), EXACT)
        assert isinstance(refused.value, ModelFault)
        assert not service.health.serving


async def test_canaries_are_observed_with_their_outcome():
    events: list[Event] = []
    health = DeviceHealth(clock=iter(range(100)).__next__, observe=events.append)

    async def lost() -> None:
        raise ModelFault("not finite")

    async def fine() -> None:
        pass

    assert isinstance(await health.probe(lost), ModelFault)
    assert await health.probe(fine) is None
    assert events == [Canary(1, failed=True), Canary(1, failed=False)]


async def test_silence_is_the_time_since_the_last_good_forward():
    watched = ready()
    watched.after(3)
    assert watched.health.silence == {"loop": 3, "device": 3}
    watched.health.batch_started(1)
    watched.health.batch_ended(finite=False)
    assert watched.health.silence["device"] == 3
    watched.health.batch_started(1)
    watched.health.batch_ended(finite=True)
    assert watched.health.silence == {"loop": 3, "device": 0}
    ticking = Watched(tick=0.001)
    ticking.now = 5
    task = asyncio.create_task(ticking.health.run(asyncio.Event().wait))
    async with asyncio.timeout(PATIENCE):
        while ticking.health.silence["loop"]:  # noqa: ASYNC110 - a tick has no event
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
