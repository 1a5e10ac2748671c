"""Any number of rows through a function that takes only some numbers of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows of one run, the largest first
LARGE = (256, 128)  # of a GPU, which 64 rows of a small tower do not fill


def sizes_on(device: torch.device) -> tuple[int, ...]:
    """Rows of one run on that device."""
    return SIZES if device.type == "cpu" else LARGE + SIZES


def run_in_buckets(run: Callable[[Tensor], Tensor], x: Tensor, sizes: Sequence[int] = SIZES) -> Tensor:
    """`run` over the rows of x [b, ...], `sizes` (down to 1) at a time; a run that is not full is filled with zeros."""
    parts: list[Tensor] = []
    for taken, size in plan(len(x), sizes):
        some, x = x[:taken], x[taken:]
        if taken < size:
            some = torch.cat([some, some.new_zeros(size - taken, *some.shape[1:])])
        parts.append(run(some)[:taken])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def plan(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(rows taken, rows run) for each run: the largest that would be at least three quarters full."""
    for size in sizes:
        while 4 * rows >= 3 * size:
            taken = min(rows, size)
            yield taken, size
            rows -= taken
