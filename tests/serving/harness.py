"""A whole service around a `FakeCLIP`, for tests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from tests.patience import PATIENCE
from tta_service import LabelSet, Strategy
from tta_service.app.parts import Runtime, connect_parts
from tta_service.core.catalogue import reducers
from tta_service.core.events import Event
from tta_service.core.reducer import Reducer, Reduction
from tta_service.core.request import PixelFormat, Raw, Request
from tta_service.serving.admission.claims import ClientQuota
from tta_service.serving.admission.controller import AdmissionController
from tta_service.serving.batching.batcher import Encode
from tta_service.serving.concurrency import Executors, make_executors
from tta_service.serving.costs.model import CostModel
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.serving.sessions.sessions import Sessions
from tta_service.settings import Settings
from tta_service.strategies.zero_shot import ZeroShot
from tta_service.testing import FakeCLIP

LABELS = LabelSet(("cat", "dog", "red car", "tree", "house plant"))
EXACT = Reduction(reducers.build("none"))


@dataclass(frozen=True)
class Harness(Runtime):
    events: list[Event] = field(default_factory=list)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def harness(
    clip: FakeCLIP | None = None,
    max_rows: int = 64,
    encode: Encode | None = None,
    tokens_left: Callable[[Reducer], tuple[int, ...]] | None = None,
    limits: MemoryLimits | None = None,
    adapt: int = 2,
    capacity: int = 0,
    threads: Executors | None = None,
    quota: ClientQuota | None = None,
    forwards: Mapping[int, float] | None = None,
    settings: Settings | None = None,
    **parts: Any,
) -> AsyncIterator[Harness]:
    """Without a measured tower, samples of explanations, a canary or any other task beside the batcher's."""
    clip, events = clip or FakeCLIP(), list[Event]()
    clip.encode_image, clip.tokens_left = encode or clip.encode_image, tokens_left or clip.tokens_left
    threads = threads or make_executors(prepare=2, adapt=adapt, cores=1)
    admission = AdmissionController(capacity or 2 * max_rows, clock=time.monotonic, quota=quota)
    given: dict[str, Any] = {"admission": admission, "explain_every": 0}
    if limits:
        given["sessions"] = Sessions(limits=limits, observe=events.append)
    costs = CostModel(max_rows, forwards)
    built = connect_parts(
        settings or Settings(),
        clip,  # type: ignore[arg-type]
        threads,
        costs,
        events.append,
        **{**given, **parts},
    )
    serving = asyncio.create_task(built.batcher.run())
    before = asyncio.all_tasks()
    try:
        yield Harness(**{one.name: getattr(built, one.name) for one in fields(built)}, events=events)
        assert not (asyncio.all_tasks() - before), "tasks were left behind"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await asyncio.to_thread(threads.close)


def make_image(seed: int, side: int = 48) -> Raw:
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, 4, 4, generator=draw)
    pixels = torch.nn.functional.interpolate(coarse[None], size=(side, side), mode="bilinear")[0]
    flat = (pixels * 255).to(torch.uint8).permute(1, 2, 0).contiguous()
    return Raw(side, side, PixelFormat.RGB24, flat.numpy().tobytes())


def make_request(seed: int = 0, strategy: Strategy[Any] | None = None, **given: Any) -> Request:
    fields = {"image": make_image(seed), "labels": LABELS, "strategy": strategy or ZeroShot(), "reduction": EXACT}
    return Request(**{**fields, "seed": seed, **given})


async def settle() -> None:
    """Runs all tasks that can run without a thread or a timer."""
    for _ in range(20):
        await asyncio.sleep(0)


async def acquire(semaphore: threading.Semaphore, times: int = 1) -> bool:
    """Acquires a thread's semaphore without blocking the loop."""
    return await asyncio.to_thread(lambda: all(semaphore.acquire(timeout=PATIENCE) for _ in range(times)))


def make_rows(count: int, fill: int = 1, size: int = 32) -> Tensor:
    return torch.full((count, 3, size, size), fill, dtype=torch.uint8)
