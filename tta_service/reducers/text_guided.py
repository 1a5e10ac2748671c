"""Text-guided reduction: patches that match no label are pruned. After PuMer (ACL 2023) and SmartTrim (2024).

Those papers train or fuse towers. This form for a two-tower model without training is ours and claims no published
number. At half depth every patch goes through the tower's last projection and is scored by its best label relative to
the labels' mean; the lowest are pruned. The first and last stage merge by similarity.
On the pocket model it did not beat `turbo` at equal cost (benchmarks/tokens.py); it serves as a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer
from .merging import merge_by_similarity, similarity_metric, take
from .schedule import Keep, places, staged_count


@register_reducer("text_guided")
@dataclass(frozen=True)
class TextGuided(Reducer):
    """A batch holds one label set only."""

    keep: Keep = 0.7
    guided: ClassVar[bool] = True
    guide_in_tokens: ClassVar[bool] = True

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
        """Merges at the first and last stage, prunes by `relevance` at half depth. ValueError without a guide."""
        patches = x.shape[1] - prefix
        left = staged_count(patches, layer, layers, self.keep)
        if left == patches:
            return x, sizes
        if guide is None:
            raise ValueError("text_guided needs the text features as its guide")
        if layer != places(layers)[1]:
            return merge_by_similarity(x, sizes, similarity_metric(k, prefix), prefix, patches - left)
        kept = prefix + relevance(x[:, prefix:], guide).argsort(dim=-1, descending=True, stable=True)[:, :left]
        stay = torch.cat([torch.arange(prefix, device=x.device).expand(len(x), -1), kept.sort(-1).values], 1)
        return take(x, stay), None if sizes is None else take(sizes, stay)


def relevance(x: Tensor, guide: Tensor) -> Tensor:
    """[b, p] score of each patch of x [b, p, w] for its best label, relative to the mean label; guide [c, w]."""
    guide = guide.float() - guide.float().mean(0) * (len(guide) > 1)
    return (layer_norm(x.float(), x.shape[-1:]) @ guide.T).amax(-1)
