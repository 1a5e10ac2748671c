from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import LABELS, settle
from tests.serving.toys import Anchored
from tta_service import LabelSet, TextSpace
from tta_service.clip.load import load
from tta_service.core.errors import BadLabels, ModelFault, Overloaded
from tta_service.serving.admission.claims import ClientQuota
from tta_service.serving.costs.model import CostModel
from tta_service.serving.text.cache import TextSpaceCache
from tta_service.testing import FakeCLIP

OTHER, THIRD = LabelSet(("a", "b")), LabelSet(("c", "d", "e"))


class Maker:
    """Counts, waits and fails on demand."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.clip = FakeCLIP(dimension=16)

    def __call__(self, labels: LabelSet) -> TextSpace:
        self.made.append(labels.names)
        assert self.go.wait(PATIENCE)
        if self.error:
            raise self.error
        return self.clip.text_space(labels)


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def lane() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "tta-tune") as lane:
        yield lane


async def test_concurrent_callers_share_one_encoding(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane)
    maker.go.clear()
    tasks = [asyncio.create_task(spaces.get(LabelSet(LABELS.names))) for _ in range(5)]
    await settle()
    tasks[0].cancel()  # even the one who began it
    await settle()
    maker.go.set()
    got = await asyncio.gather(*tasks[1:])
    assert len(maker.made) == 1 and all(space is got[0] for space in got)
    assert tasks[0].cancelled()
    assert await spaces.get(LABELS) is got[0] and len(maker.made) == 1
    assert (spaces.counters.hits, spaces.counters.misses, spaces.counters.cached) == (1, 5, 1)


async def test_an_encoding_whose_callers_have_left_goes_on_with_the_next(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane)
    maker.go.clear()
    task = asyncio.create_task(spaces.get(LABELS))
    await settle()
    task.cancel()
    await settle()
    maker.go.set()
    await spaces.get(LABELS)
    assert len(maker.made) == 1


async def test_encoding_stops_when_nobody_waits_and_goes_on_where_it_was(lane: ThreadPoolExecutor):
    steps, reached, go = list[int](), threading.Event(), threading.Event()

    def make(labels: LabelSet) -> Generator[None, None, TextSpace]:
        for step in range(100):
            steps.append(step)
            if step == 3:
                reached.set()
                assert go.wait(PATIENCE)
            yield
        return FakeCLIP(dimension=16).text_space(labels)

    spaces = TextSpaceCache(make, lane, lane)
    asked = [asyncio.create_task(spaces.get(LABELS)) for _ in range(2)]
    await asyncio.to_thread(reached.wait, PATIENCE)
    asked[0].cancel()  # the other one still waits
    await settle()
    asked[1].cancel()
    await settle()
    go.set()
    await asyncio.to_thread(lane.submit(len, "").result)  # the lane is free again
    await settle()
    assert steps == [0, 1, 2, 3]
    await spaces.get(LABELS)
    assert steps == list(range(100))


async def test_a_refusal_is_remembered(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane)
    maker.error = BadLabels("too long", "names[3]")
    for _ in range(3):
        with pytest.raises(BadLabels, match="too long") as caught:
            await spaces.get(LABELS)
        assert caught.value.field == "names[3]"
        caught.value.at("labels")  # a caller's own path is not in the next caller's
    assert len(maker.made) == 1
    maker.error = None
    await spaces.get(OTHER)


async def test_a_failure_is_not_cached(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane)
    maker.error = OSError("x")
    with pytest.raises(ModelFault):
        await spaces.get(LABELS)
    maker.error = None
    await spaces.get(LABELS)
    assert LABELS in spaces


async def test_the_least_recently_used_set_is_evicted(maker: Maker, lane: ThreadPoolExecutor):
    size = 64  # bytes of one class
    spaces = TextSpaceCache(maker, lane, lane, max_bytes=8 * size)
    for labels in (LABELS, OTHER):
        await spaces.get(labels)
    await spaces.get(LABELS)
    await spaces.get(THIRD)  # 5 + 2 + 3 classes are too many
    assert LABELS in spaces and OTHER not in spaces and THIRD in spaces
    assert spaces.counters.bytes == 8 * size and spaces.counters.evicted == 1
    await spaces.get(OTHER)
    assert maker.made == [LABELS.names, OTHER.names, THIRD.names, OTHER.names]


async def test_a_set_that_is_alone_too_large_is_still_kept_until_the_next(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane, max_bytes=1)
    await spaces.get(LABELS)
    await spaces.get(LABELS)
    assert len(maker.made) == 1
    await spaces.get(OTHER)
    assert spaces.counters.cached == 1 and spaces.counters.bytes == 2 * 64


async def test_a_forgotten_set_takes_no_room(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane)
    await spaces.get(LABELS)
    spaces.forget(LABELS.id)
    assert spaces.counters.cached == spaces.counters.bytes == 0 and LABELS not in spaces


async def test_label_memories_begin_once_and_are_evicted_with_their_space(maker: Maker, lane: ThreadPoolExecutor):
    spaces, strategy = TextSpaceCache(maker, lane, lane, max_bytes=400), Anchored()
    memories = await asyncio.gather(*(spaces.memory(strategy, LABELS) for _ in range(4)))
    assert len(strategy.begun) == 1 and all(memory is memories[0] for memory in memories)
    assert spaces.counters.bytes == 5 * 64 + 5 * 4
    space, memory = weakref.ref(await spaces.get(LABELS)), weakref.ref(memories[0].offset)
    del memories
    await spaces.get(OTHER)  # evicts
    assert spaces.counters.bytes == 2 * 64
    gc.collect()
    assert space() is None and memory() is None
    await spaces.memory(strategy, LABELS)
    assert len(strategy.begun) == 2


async def test_a_space_that_grows_by_a_memory_evicts_others(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane, max_bytes=7 * 64)
    for labels in (OTHER, LABELS):
        await spaces.get(labels)
    assert spaces.counters.bytes == 7 * 64
    await spaces.memory(Anchored(), LABELS)
    assert OTHER not in spaces and LABELS in spaces
    assert spaces.counters.bytes == 5 * 64 + 5 * 4 and spaces.counters.evicted == 1


async def test_every_step_runs_within_the_watchdog_pause(maker: Maker, lane: ThreadPoolExecutor):
    around: list[str] = []

    class Apart:
        def __enter__(self) -> None:
            around.append(threading.current_thread().name)

        def __exit__(self, *gone: object) -> None:
            around.append("done")

    await TextSpaceCache(maker, lane, lane, pause_watchdog=Apart).get(LABELS)
    assert around == ["tta-tune_0", "done"]


async def test_activations_are_counted_apart_and_given_up_by_the_least_recently_used(lane: ThreadPoolExecutor):
    clip = load()
    spaces = TextSpaceCache(clip.text_space, lane, lane, max_activations=1)
    backward = []
    for labels in (LABELS, OTHER):
        space = await spaces.get(labels)
        before = spaces.counters
        backward.append(space.prompts.gradient(torch.ones_like(space.features)))
        spaces.backward_done(labels)
        assert spaces.counters.activations == space.activations > 0
        assert spaces.counters.bytes == before.bytes
    first, second = await spaces.get(LABELS), await spaces.get(OTHER)
    assert first.activations == 0 < second.activations
    assert torch.equal(first.prompts.gradient(torch.ones_like(first.features)), backward[0])  # made anew
    spaces.backward_done(LABELS)
    spaces.forget(LABELS.id)
    assert spaces.counters.activations == second.activations == 0


async def test_a_large_set_is_encoded_in_steps_and_others_get_in_between(lane: ThreadPoolExecutor):
    clip, costs, order = load(), CostModel(), list[str]()
    labels = LabelSet(tuple(f"label number {i}" for i in range(150)), ("a photo of a {}.", "a drawing of a {}."))

    @contextmanager
    def apart() -> Iterator[None]:
        order.append("step")
        yield

    spaces = TextSpaceCache(clip.text_space_in_steps, lane, lane, pause_watchdog=apart, costs=costs)
    making = asyncio.ensure_future(spaces.get(labels))
    assert labels not in spaces
    while not making.done():
        await asyncio.wrap_future(lane.submit(order.append, "other"))
    assert order.count("step") > 4
    alternating = [order[i] == "other" for i, what in enumerate(order[1:]) if what == "step"]
    assert sum(alternating) > len(alternating) / 2
    torch.testing.assert_close(making.result().features, clip.text_space(labels).features)
    assert labels in spaces and costs.estimate_text(300).likely > 0


async def test_a_step_that_fails_is_a_fault_of_the_set(lane: ThreadPoolExecutor):
    def making(labels: LabelSet) -> Generator[None, None, TextSpace]:
        yield
        raise ZeroDivisionError

    with pytest.raises(ModelFault):
        await TextSpaceCache(making, lane, lane).get(LABELS)


async def test_encodings_take_turns_by_client(lane: ThreadPoolExecutor):
    order, clip = list[str](), FakeCLIP(dimension=16)

    def make(labels: LabelSet) -> Generator[None, None, TextSpace]:
        for _ in range(20):
            order.append(labels.names[0].partition(" ")[0])
            yield
        return clip.text_space(labels)

    spaces = TextSpaceCache(make, lane, lane)
    sets = [LabelSet((f"greedy {number}", "other")) for number in range(8)]
    greedy = [asyncio.create_task(spaces.get(labels, "greedy")) for labels in sets]
    await settle()
    await spaces.get(LabelSet(("gate", "other")), "gate")
    assert order.index("gate") < 8 and 10 < Counter(order)["greedy"] < 40
    await asyncio.gather(*greedy)


async def test_who_has_prompts_encoded_pays_for_it_and_has_them_counted_among_its_work(lane: ThreadPoolExecutor):
    paid, clip, quota = defaultdict[str, list[float]](list), FakeCLIP(dimension=16), ClientQuota(100, 0.5)

    def make(labels: LabelSet) -> Generator[None, None, TextSpace]:
        for _ in range(3):
            counted.append(quota.total)
            yield
        return clip.text_space(labels)

    counted = list[int]()
    spaces = TextSpaceCache(make, lane, lane, pay=lambda client, seconds: paid[client].append(seconds), quota=quota)
    await spaces.get(LabelSet(tuple(f"name {i}" for i in range(100))), "gate")
    assert set(paid) == {"gate"} and sum(paid["gate"]) > 0 and counted == [13] * 3 and quota.total == 0


async def test_a_client_has_at_most_its_share_of_prompts_encoded_at_a_time(maker: Maker, lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(maker, lane, lane, quota=ClientQuota(100, 0.5))
    maker.go.clear()
    sets = [LabelSet(tuple(f"{number} {i}" for i in range(200))) for number in range(4)]
    first = [asyncio.create_task(spaces.get(labels, "greedy")) for labels in sets[:2]]
    await settle()
    with pytest.raises(Overloaded, match="50 rows of your work") as refused:
        await spaces.get(sets[2], "greedy")
    assert refused.value.quota == "batch.client_share" and refused.value.retry_after
    other = asyncio.create_task(spaces.get(sets[3], "gate"))
    await settle()
    maker.go.set()
    await asyncio.gather(*first, other)
    await spaces.get(sets[2], "greedy")


async def test_an_encoding_that_was_begun_and_is_refused_goes_on_where_it_was(lane: ThreadPoolExecutor):
    steps, reached, go, quota = list[int](), threading.Event(), threading.Event(), ClientQuota(100, 0.5)

    def make(labels: LabelSet) -> Generator[None, None, TextSpace]:
        for step in range(3):
            steps.append(step)
            reached.set()
            assert go.wait(PATIENCE)
            yield
        return FakeCLIP(dimension=16).text_space(labels)

    spaces = TextSpaceCache(make, lane, lane, quota=quota)
    leaving = asyncio.create_task(spaces.get(LABELS, "gate"))
    await asyncio.to_thread(reached.wait, PATIENCE)
    leaving.cancel()
    await asyncio.wait({leaving})
    await settle()
    with quota.hold("gate", 50, lambda: 1.0), pytest.raises(Overloaded):
        await spaces.get(LABELS, "gate")
    go.set()
    await spaces.get(LABELS, "gate")
    assert steps == [0, 1, 2]
