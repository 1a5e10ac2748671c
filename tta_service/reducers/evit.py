"""EViT: keep the patches that the class token attends to, fuse the rest. Liang et al., ICLR 2022,
https://arxiv.org/abs/2202.07800.

The dropped patches become one token, their mean weighted by attention. It counts as one of the remaining tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .merging import class_attention, take
from .schedule import Keep, staged_count


@register_reducer("evit")
@dataclass(frozen=True)
class EViT(Reducer):
    """The default fuses by the weighted mean. The published code takes the weighted sum, which is shorter."""

    keep: Keep = 0.7
    fuse: Annotated[Literal["mean", "sum", "drop"], "what becomes of the patches that are not kept"] = "mean"

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
        """Keeps the patches with the most attention of the class token; see `Reducer.reduce` for shapes."""
        patches = x.shape[1] - prefix
        left = staged_count(patches, layer, layers, self.keep)
        if left == patches:
            return x, sizes
        attention = class_attention(q, k, prefix)  # [b, p]
        kept = left if self.fuse == "drop" else left - 1
        order = attention.argsort(dim=-1, descending=True, stable=True)
        best, rest = order[:, :kept].sort(-1).values, order[:, kept:]
        parts = [x[:, :prefix], take(x[:, prefix:], best)]
        if self.fuse != "drop":
            weights = attention.gather(1, rest)
            weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-12) if self.fuse == "mean" else weights
            parts.append((weights[:, None] @ take(x[:, prefix:], rest).float()).to(x.dtype))
        return torch.cat(parts, 1), sizes
