"""Token merging: patches with similar keys become one. Bolya et al., ICLR 2023, https://arxiv.org/abs/2210.09461.

Half of the patches, by position, are candidates to merge into the most similar of the other half; the most similar
pairs are merged. A merged token is the mean of its patches, and attention weighs it by their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .merging import merge_by_similarity, similarity_metric
from .schedule import Keep, staged_count


@register_reducer("tome")
@dataclass(frozen=True)
class ToMe(Reducer):
    """Merges at three stages, or as published `r` patches after every block."""

    keep: Keep = 0.7
    r: Annotated[int, Ge(0), Le(256), "patches merged behind every block instead; 0: three stages"] = 0

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
        """Merges the most similar pairs; see `Reducer.reduce` for shapes."""
        patches = x.shape[1] - prefix
        merged = min(self.r, patches // 2) if self.r else patches - staged_count(patches, layer, layers, self.keep)
        if merged == 0:
            return x, sizes
        return merge_by_similarity(x, sizes, similarity_metric(k, prefix), prefix, merged)
