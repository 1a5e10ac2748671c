"""PiToMe: merge patches that have many similar ones, protect the others. Tran et al., NeurIPS 2024, https://arxiv.org/abs/2405.16148.

A patch's energy says how many others are similar to it. Only the patches of highest energy merge, half of them into the
other half. The margin of similarity falls with depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn.functional import elu

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .merging import merge, similarity_metric, take
from .schedule import Keep, gradual_count


@register_reducer("pitome")
@dataclass(frozen=True)
class PiToMe(Reducer):
    """Reduces a little after every block, at the cost of the three stages.

    Attention is proportional to sizes, unlike in the authors' patch for CLIP.
    """

    keep: Keep = 0.7
    margin: Annotated[float, Ge(0), Le(1), "cosine above which patches are alike, at the first block"] = 0.95

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
        """Merges among the patches of highest energy; see `Reducer.reduce` for shapes."""
        patches = x.shape[1] - prefix
        count = patches - gradual_count(patches, layer, layers, self.keep)
        metric, margin = similarity_metric(k, prefix), self.margin * (1 - layer / layers)
        while count > 0:
            merged = min(count, metric.shape[1] // 2)
            x, sizes, metric = _round(x, sizes, metric, prefix, merged, margin)
            count -= merged
        return x, sizes


def _round(
    x: Tensor, sizes: Tensor | None, metric: Tensor, prefix: int, merged: int, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge `merged` patches; metric [b, p, e] unit vectors."""
    likeness = metric @ metric.transpose(1, 2)  # [b, p, p]
    energy = elu(likeness - margin).mean(-1)  # [b, p]
    order = energy.argsort(dim=-1, descending=True, stable=True)
    crowd, alone = order[:, : 2 * merged], order[:, 2 * merged :].sort(-1).values
    sources, others = crowd[:, 0::2], crowd[:, 1::2]
    among = take(likeness, sources).gather(2, others[:, None].expand(-1, merged, -1))  # [b, r, r]
    stay = torch.cat([alone, others], 1)
    x, sizes = merge(x, sizes, prefix, stay, sources, alone.shape[1] + among.argmax(-1))
    return x, sizes, take(metric, stay)
