"""One batch in the device lane: gather, encode, hand out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...core.reducer import Reduction
from .jobs import JobSlice

Encode = Callable[[Tensor, Reduction, Tensor | None], Tensor]


def run_batch(encode: Encode, batch: Sequence[JobSlice]) -> tuple[set[JobSlice], float]:
    """Each job of the batch gets its features; returns the parts whose features are not finite, and the seconds."""
    began = time.monotonic()
    first = batch[0].job
    pixels = concatenate([part.job.pixels[part.start : part.stop] for part in batch])
    guide = first.text.features if first.reduction.reducer.guided and first.text else None
    features = encode(pixels, first.reduction, guide)
    finite = features.isfinite().all(-1)  # [b]
    broken: set[JobSlice] = set()
    at = 0
    for part in batch:
        rows = slice(at, at := at + len(part))
        if not finite[rows].all():
            broken.add(part)
        part.job.pieces[part.start] = features[rows]
    return broken, time.monotonic() - began


def concatenate(pieces: Sequence[Tensor]) -> Tensor:
    """Rows of several jobs as one. Those that were cut on a device stay there, and the others come to them."""
    if len(pieces) == 1:
        return pieces[0]
    where = next((piece.device for piece in pieces if piece.device.type != "cpu"), pieces[0].device)
    return torch.cat([piece.to(where) for piece in pieces])
