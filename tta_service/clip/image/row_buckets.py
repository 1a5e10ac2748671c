"""Runs a function that accepts only certain numbers of rows on any number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows of one run, the largest first
LARGE = (256, 128)  # on a GPU, because 64 rows of a small tower do not occupy it


def sizes_on(device: torch.device) -> tuple[int, ...]:
    """The numbers of rows of a run on that device, the largest first."""
    return SIZES if device.type == "cpu" else LARGE + SIZES


def run_in_buckets(run: Callable[[Tensor], Tensor], x: Tensor, sizes: Sequence[int] = SIZES) -> Tensor:
    """`run` over the rows of x [b, ...], in runs of `sizes` (which include 1); a partial run is padded with zeros."""
    parts: list[Tensor] = []
    for taken, size in plan(len(x), sizes):
        rows, x = x[:taken], x[taken:]
        if taken < size:
            rows = torch.cat([rows, rows.new_zeros(size - taken, *rows.shape[1:])])
        parts.append(run(rows)[:taken])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def plan(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(rows taken, rows run) for each run: the largest that would be at least three quarters full."""
    for size in sizes:
        while 4 * rows >= 3 * size:
            taken = min(rows, size)
            yield taken, size
            rows -= taken
