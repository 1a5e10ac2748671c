"""How many rows one forward should carry on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Budget:
    """The smallest power of two whose rows per second are within 5 % of the best seen."""

    rows: int
    row_seconds: float  # at that size
    rates: dict[int, float]  # rows -> rows per second


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


def _fastest(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    forward(rows)
    return min(_seconds(forward, rows, clock) for _ in range(2))


def _seconds(forward: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    began = clock()
    forward(rows)
    return clock() - began
