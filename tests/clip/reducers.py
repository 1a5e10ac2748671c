"""Two toy reducers: one that drops, one that merges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tta_service.core.reducer import Reducer


@dataclass(frozen=True)
class Drop(Reducer):
    """Leaves out the last `count` patches after layer `at`."""

    name = "drop"
    at: int = 0
    count: int = 4

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return (x[:, : x.shape[1] - self.count], sizes) if layer == self.at else (x, sizes)


@dataclass(frozen=True)
class MergePairs(Reducer):
    """Merges the patches 2i and 2i + 1 into their mean after layer `at`."""

    name = "merge_pairs"
    at: int = 0

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        if layer != self.at:
            return x, sizes
        sizes = torch.ones_like(x[..., 0]) if sizes is None else sizes
        weighted = (x * sizes[..., None])[:, prefix:]
        counts = _pairs(sizes[:, prefix:, None])
        merged = torch.cat([x[:, :prefix], _pairs(weighted) / counts], 1)
        return merged, torch.cat([sizes[:, :prefix], counts[..., 0]], 1)


def _pairs(x: Tensor) -> Tensor:
    return x[:, 0::2] + x[:, 1::2]
