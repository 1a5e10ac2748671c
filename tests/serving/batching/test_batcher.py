from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
import torch
from torch import Tensor

from tests.patience import PATIENCE
from tests.serving.harness import EXACT, LABELS, make_rows, settle
from tests.serving.toys import Guided, Halved
from tta_service import LabelSet
from tta_service.core.errors import ModelFault, NotReady, Unsupported
from tta_service.core.events import Event
from tta_service.core.reducer import Reduction
from tta_service.serving.batching.batcher import Batcher
from tta_service.serving.batching.device_health import DeviceHealth
from tta_service.testing import FakeCLIP


class Tower:
    """A tower whose features are its pixels' first value. 13 is poison, 77 has no finite feature, 99 is refused."""

    def __init__(self) -> None:
        self.forwards: list[list[int]] = []
        self.go = threading.Semaphore(0)
        self.gated = False

    def __call__(self, pixels: Tensor, reduction: Reduction, guide: Tensor | None) -> Tensor:
        if self.gated:
            assert self.go.acquire(timeout=PATIENCE)
        values = pixels[:, 0, 0, 0].float()
        self.forwards.append([int(value) for value in values])
        if 13 in values:
            raise RuntimeError("poison")
        if 99 in values:
            raise Unsupported("not with this tower", "options.reduction")
        return torch.where(values == 77, torch.nan, values)[:, None].repeat(1, 2)


@asynccontextmanager
async def batching(tower: Tower, max_rows: int = 8, health: DeviceHealth | None = None) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as lane:
        tower.events = list[Event]()
        batcher = Batcher(tower, lane, max_rows, tower.events.append, health)
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            tower.go.release(100)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def gather_behind(tower: Tower, batcher: Batcher, *jobs: tuple[Tensor, Reduction]):
    """All jobs arrive while an earlier forward is on the device."""
    tower.gated = True
    first = batcher.submit(make_rows(1, 200), EXACT)
    await settle()
    futures = [batcher.submit(pixels, how) for pixels, how in jobs]
    await settle()
    tower.gated = False
    tower.go.release()
    return await asyncio.gather(first, *futures, return_exceptions=True)


async def test_waiting_jobs_share_a_forward_and_get_their_own_rows():
    tower = Tower()
    async with batching(tower) as batcher:
        answers = await gather_behind(tower, batcher, *((make_rows(n, n), EXACT) for n in (1, 2, 3)))
    assert tower.forwards == [[200], [1, 2, 2, 3, 3, 3]]
    assert [encoded.features[:, 0].tolist() for encoded in answers[1:]] == [[1], [2, 2], [3, 3, 3]]
    assert {encoded.batch_rows for encoded in answers[1:]} == {6}
    assert all(encoded.queue >= 0 and encoded.encode > 0 for encoded in answers)


async def test_the_oldest_job_sets_the_key_and_small_ones_fill_the_batch():
    tower, halved = Tower(), Reduction(Halved())
    async with batching(tower) as batcher:
        jobs = [
            (make_rows(5, 1), halved),
            (make_rows(4, 2), EXACT),
            (make_rows(4, 3), halved),
            (make_rows(3, 4), halved),
        ]
        await gather_behind(tower, batcher, *jobs)
    assert [sorted(set(forward)) for forward in tower.forwards] == [[200], [1, 4], [2], [3]]


async def test_equal_instances_are_one_key():
    tower = Tower()
    async with batching(tower) as batcher:
        await gather_behind(
            tower, batcher, (make_rows(1, 1), Reduction(Halved())), (make_rows(1, 2), Reduction(Halved()))
        )
    assert tower.forwards == [[200], [1, 2]]


async def test_guided_reducers_batch_only_within_one_label_set():
    tower, clip, seen = Tower(), FakeCLIP(), []
    cats, cars = clip.text_space(LABELS), clip.text_space(LabelSet(("car", "van")))

    def encode(pixels: Tensor, reduction: Reduction, guide: Tensor | None) -> Tensor:
        seen.append(guide)
        return tower(pixels, reduction, guide)

    with ThreadPoolExecutor(1) as lane:
        batcher = Batcher(encode, lane, 8)
        futures = [batcher.submit(make_rows(1), Reduction(Guided()), text) for text in (cats, cars, cats)]
        task = asyncio.create_task(batcher.run())
        await asyncio.gather(*futures)
        await batcher.encode(make_rows(1), EXACT, cats)
        task.cancel()
    assert [len(forward) for forward in tower.forwards] == [2, 1, 1]
    assert seen[0] is cats.features and seen[1] is cars.features and seen[2] is None


async def test_a_job_larger_than_the_budget_is_split_and_joined_in_order():
    tower = Tower()
    pixels = torch.cat([make_rows(1, fill) for fill in range(1, 12)])
    async with batching(tower, max_rows=4) as batcher:
        _, large, small = await gather_behind(tower, batcher, (pixels, EXACT), (make_rows(1, 50), EXACT))
    assert [len(forward) for forward in tower.forwards] == [1, 4, 4, 4]
    assert large.features[:, 0].tolist() == list(range(1, 12))
    assert large.batch_rows == 4 and small.features[0, 0] == 50


async def test_cancelled_jobs_are_dropped_when_the_next_batch_forms():
    tower = Tower()
    async with batching(tower) as batcher:
        tower.gated = True
        first = batcher.submit(make_rows(1, 1), EXACT)
        await settle()
        gone, stays = batcher.submit(make_rows(2, 2), EXACT), batcher.submit(make_rows(1, 3), EXACT)
        assert batcher.counters.jobs == 2 and batcher.counters.rows == 3
        gone.cancel()
        tower.go.release(2)
        await asyncio.gather(first, stays)
        assert batcher.counters.jobs == 0
    assert tower.forwards == [[1], [3]]


async def test_a_job_that_makes_the_batch_fail_fails_alone():
    tower, health = Tower(), DeviceHealth()
    health.ready(0.001)
    async with batching(tower, health=health) as batcher:
        answers = await gather_behind(tower, batcher, *((make_rows(1, fill), EXACT) for fill in (1, 13, 2)))
        assert isinstance(answers[2], ModelFault) and "poison" not in answers[2].message
        assert [answers[i].features[0, 0] for i in (1, 3)] == [1, 2]
        assert tower.forwards == [[200], [1, 13, 2], [1], [13], [2]]
        assert [event.failed for event in tower.events] == [False, True, False, True, False]
        assert health.serving


async def test_rows_that_are_not_finite_fail_their_own_job_and_are_reported():
    tower, health = Tower(), DeviceHealth()
    health.ready(0.001)
    async with batching(tower, health=health) as batcher:
        answers = await gather_behind(tower, batcher, *((make_rows(1, fill), EXACT) for fill in (1, 77, 2)))
        assert isinstance(answers[2], ModelFault)
        assert [answers[i].features[0, 0] for i in (1, 3)] == [1, 2]
        assert not health.serving and "finite" in health.reason
        await batcher.encode(make_rows(1, 5), EXACT)
        assert health.serving


async def test_a_refusal_reaches_the_caller_unchanged_and_leaves_the_health_alone():
    tower, health = Tower(), DeviceHealth()
    health.ready(0.001)
    async with batching(tower, health=health) as batcher:
        for _ in range(4):
            with pytest.raises(Unsupported, match="not with this tower"):
                await batcher.encode(make_rows(1, 99), EXACT)
        assert health.serving


async def test_jobs_that_wait_when_the_server_stops_fail():
    tower = Tower()
    async with batching(tower) as batcher:
        tower.gated = True
        running, waiting = batcher.submit(make_rows(1), EXACT), batcher.submit(make_rows(1), EXACT)
        await settle()
        waiting = batcher.submit(make_rows(1), EXACT)
    for future in (running, waiting):
        with pytest.raises(NotReady):
            await future


async def test_results_do_not_depend_on_the_rest_of_the_batch():
    clip = FakeCLIP()
    pixels = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with ThreadPoolExecutor(1) as lane:
        batcher = Batcher(clip.encode_image, lane, 8)
        futures = [batcher.submit(pixels[i : i + 2], EXACT) for i in (0, 2, 4)]
        task = asyncio.create_task(batcher.run())
        together = torch.cat([encoded.features for encoded in await asyncio.gather(*futures)])
        task.cancel()
    torch.testing.assert_close(together, clip.encode_image(pixels), atol=1e-6, rtol=0)


async def test_an_observer_that_raises_does_not_stop_the_batcher():
    tower = Tower()

    def observe(event: Event) -> None:
        if event.rows == 2:
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as lane:
        batcher = Batcher(tower, lane, 8, observe)
        task = asyncio.create_task(batcher.run())
        with pytest.raises(ModelFault):
            await batcher.encode(make_rows(2), EXACT)
        assert (await batcher.encode(make_rows(1), EXACT)).batch_rows == 1
        task.cancel()
