"""BoostAdapter: TDA's caches, and for one answer the confident crops of the image itself.
Zhang et al., NeurIPS 2024, arXiv:2410.15430.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.strategy import ViewCount
from ..maths import Summary, confident_rows, entropy, summarise
from .tda import TDA, Caches, support


@register_strategy("boost_adapter")
@dataclass(frozen=True)
class BoostAdapter(TDA):
    """As TDA, but for each answer the surest views join the positive cache under their own labels, temporarily.

    The plain view may be among them and then counts twice, as published. `compat` removes negatives first in, first
    out, as the published code does.

    Both summaries are published: "confident" for renditions and shifts, "plain" for fine-grained sets. The default is
    the better one on the tune split (benchmarks/results/accuracy_tune.md).
    """

    views: ViewCount = 64
    confident: Annotated[float, Gt(0), Le(1), "fraction of views that boost, by lowest entropy"] = 0.1
    extra: Annotated[int, Ge(0), Le(256), "more room per class for the boosting views"] = 1
    summary: Annotated[Literal["plain", "confident"], "the image is its plain view, or the mean of the sure ones"] = (
        "confident"
    )
    compat: Annotated[bool, "negatives first in, first out"] = False

    def explain(self, seen: Evidence, memory: Caches) -> Mapping[str, Tensor | float]:
        """As TDA; `kept` are the rows that boost, whichever summary is used."""
        return {**super().explain(seen, memory), "kept": confident_rows(seen, self.confident)}

    def summarise_views(self, seen: Evidence) -> Summary:
        """What is cached of the picture: its plain view, or the sum of its confident ones."""
        if self.summary == "plain":
            return summarise(Evidence(seen.views[:1], seen.text), 1.0)
        return super().summarise_views(seen)

    def keep_doubtful(self, memory: Caches, image: Summary, mask: Tensor) -> None:
        """As TDA; if `compat`, the newest ones are kept instead of the surest."""
        if not self.compat:
            return super().keep_doubtful(memory, image, mask)
        keys, entropies, masks = (part[image.label] for part in memory[2:])
        place = int(entropies.isfinite().sum())
        if place == len(entropies):
            place -= 1
            for part in (keys, entropies, masks):
                part[:-1] = part[1:].clone()
        keys[place], entropies[place], masks[place] = image.feature, image.entropy, mask

    def support_of(self, seen: Evidence, memory: Caches, feature: Tensor) -> Tensor:
        """As TDA, with the boosting views in the cache for this answer."""
        return self.boost(super().support_of(seen, memory, feature), seen, memory, feature)

    def boost(self, affinity: Tensor, seen: Evidence, memory: Caches, feature: Tensor) -> Tensor:
        """[c] the support. Only the labels of the boosting views are computed again, so the cache is not copied."""
        logits = seen.logits()
        rows = confident_rows(seen, self.confident, logits)
        keys, doubts, labels = seen.views[rows], entropy(logits[rows]), logits[rows].argmax(-1)
        for label in labels.unique().tolist():
            own = labels == label
            joined = torch.cat([memory.entropy[label], doubts[own]])
            best = joined.argsort(stable=True)[: self.capacity + self.extra]
            nearest = torch.cat([memory.keys[label], keys[own]])[best]
            affinity[label] = support(nearest, joined[best], feature, self.beta)
        return affinity
