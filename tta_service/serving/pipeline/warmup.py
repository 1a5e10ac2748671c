"""Warm-up: measures the rows of a forward and the cost of a plain answer before the first request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TypeVar

import torch

from ...core.labels import TextSpace
from ...core.request import PixelFormat, Raw
from ..concurrency import run
from .adaptation import EncodedViews, run_strategy
from .resources import Resources

T = TypeVar("T")
RUNS = 3  # of each size
LONGEST = 5.0  # seconds of a forward that is not measured


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measured speed of the tower. `rows`: the smallest power of two within 5 % of the best rows per second."""

    rows: int
    row_seconds: float  # at that size
    rates: dict[int, float]  # rows -> rows per second

    @property
    def seconds(self) -> dict[int, float]:
        """Seconds of one forward, by its rows."""
        return {rows: rows / rate for rows, rate in self.rates.items()}


def measure(
    forward: Callable[[int], object],
    most: int = 256,
    patience: float = 2.0,
    clock: Callable[[], float] = time.monotonic,
) -> Calibration:
    """Times `forward(rows)` for 1, 2, 4 … `most` rows. Call it in the device lane.

    Each size runs once unmeasured (for compilers, caches, allocators), then twice; the faster run counts. After two
    sizes and `patience` seconds in all, all sizes are estimated from these: a forward has a fixed cost and one for each
    row. Sizes beyond the memory are left out. Raises what the first forward raises.
    """
    seconds: dict[int, float] = {}
    rows = 1
    while rows <= most:
        try:
            seconds[rows] = max(_fastest(forward, rows, clock), 1e-9)
        except torch.OutOfMemoryError:
            if not seconds:
                raise
            break
        rows *= 2
        if 2 < rows <= most and RUNS * sum(seconds.values()) > patience:  # what compilers take does not count
            seconds = _estimate(seconds, most)
            break
    rates = {rows: rows / took for rows, took in seconds.items()}
    best = max(rates.values())
    chosen = min(rows for rows, rate in rates.items() if rate >= 0.95 * best)
    return Calibration(chosen, 1 / rates[chosen], rates)


def _estimate(seconds: dict[int, float], most: int) -> dict[int, float]:
    """Seconds of forwards of 1, 2, 4 … `most` rows; of those that were not measured, each of at most `LONGEST`."""
    fixed, each = _fit_line(seconds)
    sizes = [1 << power for power in range(most.bit_length())]
    return {size: took for size in sizes if (took := fixed + each * size) <= LONGEST or size in seconds}


def _fit_line(seconds: dict[int, float]) -> tuple[float, float]:
    """Seconds of a forward and of each of its rows: the highest line that no measured size lies below.

    Other work on the machine slows a forward and never hastens it, so one disturbed size does not move the line.
    """
    lines = [(0.0, min(took / rows for rows, took in seconds.items())), (min(seconds.values()), 0.0)]
    for (few, less), (many, more) in combinations(seconds.items(), 2):
        each = max(0.0, (more - less) / (many - few))
        lines.append((max(0.0, less - each * few), each))

    def shares(line: tuple[float, float]) -> list[float]:
        return [(line[0] + line[1] * rows) / took for rows, took in seconds.items()]

    return max((line for line in lines if max(shares(line)) < 1 + 1e-9), key=lambda line: sum(shares(line)))


async def warm_up(resources: Resources, dimension: int, side: int = 256) -> None:
    """Measures decode, look and a plain answer on noise, as first values of the cost model. The first round warms up.

    `dimension`: of the features; `side`: of the image in pixels.
    """
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (side, side, 3), generator=draw, dtype=torch.uint8)
    image = Raw(side, side, PixelFormat.RGB24, noise.numpy().tobytes())
    features, plain, costs = torch.eye(2, dimension), resources.costs.zero_shot, resources.costs
    text, encoded = TextSpace.of(features), EncodedViews((features[:1],), 1)
    for _ in range(2):
        pixels, seconds = await run(resources.lanes.prepare, _time, partial(resources.decode, image))
        costs.learn_decode(image, seconds)
        for views in (1, 8):
            _, seconds = await run(resources.lanes.prepare, _time, partial(resources.look, pixels, views, 0, "crop"))
            costs.learn_look("crop", views, seconds)
        answer, _ = await run(resources.lanes.adapt, run_strategy, plain, encoded, text, False, False, False, None)
        costs.learn_adapt(plain, 2, 1, answer.seconds)


def _time(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


def _fastest(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    forward(rows)
    return min(_seconds(forward, rows, clock) for _ in range(RUNS - 1))


def _seconds(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    began = clock()
    forward(rows)
    return clock() - began
