"""Turbo: merge patches that are redundant and get little attention. Ju et al., ECCV 2024, https://arxiv.org/abs/2407.11717.

As token merging, but patches to which the class token attends are merged last: the attention, times the number of
patches so that its mean is 1, is subtracted from the similarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .merging import class_attention, merge_by_similarity, similarity_metric
from .schedule import Keep, staged_count


@register_reducer("turbo")
@dataclass(frozen=True)
class Turbo(Reducer):
    """`meaning` 0.26 is the published setting (α = 5 at 577 tokens) without its dependence on the picture's size.

    A tower without a class token merges by similarity alone.
    """

    keep: Keep = 0.7
    meaning: Annotated[float, Ge(0), Le(10), "how much the class token's attention protects a patch"] = 0.26

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
        """Merges the pairs with the largest similarity − `meaning` · attention; see `Reducer.reduce` for shapes."""
        patches = x.shape[1] - prefix
        merged = patches - staged_count(patches, layer, layers, self.keep)
        if merged == 0:
            return x, sizes
        protected = self.meaning * patches * class_attention(q, k, prefix, sizes) if prefix else None
        return merge_by_similarity(x, sizes, similarity_metric(k, prefix), prefix, merged, protected)
