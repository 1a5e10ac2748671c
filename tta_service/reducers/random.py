"""Random patches are dropped: the baseline that every other reducer must beat at equal cost.

One pattern per seed and block, the same for every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .schedule import Keep, staged_count


@register_reducer("random")
@dataclass(frozen=True)
class RandomDrop(Reducer):
    """Drops patches at three stages."""

    keep: Keep = 0.7
    seed: Annotated[int, Ge(0), Le(2**31 - 1), "which patches"] = 0

    def reduce(
        self,
        layer: int,
        layers: int,
        x: Tensor,
        sizes: Tensor | None,
        q: Tensor,
        k: Tensor,
        prefix: int,
        guide: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Drops the same patches of every row; see `Reducer.reduce` for shapes."""
        patches = x.shape[1] - prefix
        left = staged_count(patches, layer, layers, self.keep)
        if left == patches:
            return x, sizes
        rows = _rows(1000 * self.seed + layer, patches, left, prefix, x.device)
        return x.index_select(1, rows), None if sizes is None else sizes.index_select(1, rows)


@lru_cache(maxsize=256)
def _rows(seed: int, patches: int, left: int, prefix: int, device: torch.device) -> Tensor:
    """Which tokens stay, in order: the prefix and some patches.

    They are drawn once, so that an exported tower holds them as a constant and a CUDA graph can be recorded, which
    allows no copies from the host.
    """
    draw = torch.Generator().manual_seed(seed)
    stay = torch.randperm(patches, generator=draw)[:left].sort().values
    return torch.cat([torch.arange(prefix), prefix + stay]).to(device)
