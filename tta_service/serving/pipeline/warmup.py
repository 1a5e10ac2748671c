"""What this machine can do, measured before anybody asks: rows of a forward, and what an answer takes beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from ...core.labels import TextSpace
from ...core.request import PixelFormat, Raw
from ...core.strategy import completed
from ..concurrency.executors import run
from .encoding import Eyes
from .run_strategy import Seen, answering

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """The smallest power of two whose rows per second are within 5 % of the best seen."""

    rows: int
    row_seconds: float  # at that size
    rates: dict[int, float]  # rows -> rows per second

    @property
    def seconds(self) -> dict[int, float]:
        """Of one forward, by its rows."""
        return {rows: rows / rate for rows, rate in self.rates.items()}


def measure(
    forward: Callable[[int], object],
    most: int = 256,
    patience: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Budget:
    """Times `forward(rows)` for 1, 2, 4 … `most` rows; call it in the device lane.

    Each size runs once unmeasured (compilers, caches, allocators), then twice; the faster run counts. Goes no further
    when a size takes longer than `patience` seconds or memory runs out. Raises what the first forward raises.
    """
    rates: dict[int, float] = {}
    rows = 1
    while rows <= most:
        try:
            seconds = _fastest(forward, rows, clock)
        except torch.OutOfMemoryError:
            if not rates:
                raise
            break
        rates[rows] = rows / max(seconds, 1e-9)
        if seconds > patience:
            break
        rows *= 2
    best = max(rates.values())
    chosen = min(rows for rows, rate in rates.items() if rate >= 0.95 * best)
    return Budget(chosen, 1 / rates[chosen], rates)


async def rehearse(eyes: Eyes, dimension: int, side: int = 256) -> None:
    """Decode, look and a plain answer, for the costs to begin with; each once before it counts."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (side, side, 3), generator=draw, dtype=torch.uint8)
    image = Raw(side, side, PixelFormat.RGB24, noise.numpy().tobytes())
    features, plain, costs = torch.eye(2, dimension), eyes.costs.plain, eyes.costs
    text, seen = TextSpace.of(features), Seen((features[:1],), 1)
    for _ in range(2):
        pixels, seconds = await run(eyes.lanes.prepare, _timed, partial(eyes.decode, image))
        costs.decoded(image, seconds)
        for views in (1, 8):
            _, seconds = await run(eyes.lanes.prepare, _timed, partial(eyes.look, pixels, views, 0, "crop"))
            costs.looked("crop", views, seconds)
        work = answering(plain, plain.needs(), seen, text, False, None)
        said, _ = await run(eyes.lanes.adapt, completed, work)
        costs.adapted(plain, 2, 1, said.seconds)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


def _fastest(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    forward(rows)
    return min(_seconds(forward, rows, clock) for _ in range(2))


def _seconds(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    began = clock()
    forward(rows)
    return clock() - began
