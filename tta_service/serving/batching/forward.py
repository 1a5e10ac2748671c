"""One forward in the device lane: gather the rows of a batch, encode them, scatter the features to the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...core.reducer import Reduction
from .jobs import JobSlice

Encode = Callable[[Tensor, Reduction, Tensor | None], Tensor]


def run_batch(encode: Encode, batch: Sequence[JobSlice]) -> tuple[set[JobSlice], float]:
    """Encodes the batch and stores each job's features. Returns the slices with features that are not finite, and the
    seconds."""
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
    """Rows of several jobs as one tensor [b, …]. If some lie on an accelerator, the others are copied to it."""
    if len(pieces) == 1:
        return pieces[0]
    where = next((piece.device for piece in pieces if piece.device.type != "cpu"), pieces[0].device)
    return torch.cat([piece.to(where) for piece in pieces])
