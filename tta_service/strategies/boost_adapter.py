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
from ..core.labels import TextSpace
from ..core.strategy import Needs, Scope, Strategy
from ..maths import Summary, confident_rows, entropy, summarise
from .tda import (
    Caches,
    empty_caches,
    explain_cache,
    is_doubtful,
    keep_doubtful,
    keep_surest,
    objection,
    plausible,
    support,
)


@register_strategy("boost_adapter")
@dataclass(frozen=True)
class BoostAdapter(Strategy[Caches]):
    """As TDA, but for each answer the surest views join the positive cache under their own labels, temporarily.

    The plain view may be among them and then counts twice, as published. `compat` removes negatives first in, first
    out, as the published code does.

    Both summaries are published: "confident" for renditions and shifts, "plain" for fine-grained sets. The default is
    the better one on the tune split (benchmarks/results/accuracy_tune.md).
    """

    views: Annotated[int, Ge(1), Le(512), "views of the image, the plain one included"] = 64
    confident: Annotated[float, Gt(0), Le(1), "fraction of views that boost, by lowest entropy"] = 0.1
    alpha: Annotated[float, Ge(0), Le(1e3), "weight of the positive cache"] = 2.0
    beta: Annotated[float, Ge(0), Le(1e3), "sharpness of the positive cache"] = 5.0
    capacity: Annotated[int, Ge(1), Le(256), "images remembered per class"] = 3
    negative: Annotated[bool, "use the negative cache"] = True
    negative_alpha: Annotated[float, Ge(0), Le(1e3), "weight of the negative cache"] = 0.117
    negative_beta: Annotated[float, Ge(0), Le(1e3), "sharpness of the negative cache"] = 1.0
    negative_capacity: Annotated[int, Ge(1), Le(256), "doubtful images remembered per class"] = 2
    entropy_low: Annotated[float, Ge(0), Le(1), "doubtful: entropy / log2(C) above this"] = 0.2
    entropy_high: Annotated[float, Ge(0), Le(1), "doubtful: entropy / log2(C) below this"] = 0.5
    mask_low: Annotated[float, Ge(0), Le(1), "plausible: probability above this"] = 0.03
    mask_high: Annotated[float, Ge(0), Le(1), "plausible: probability below this"] = 1.0
    extra: Annotated[int, Ge(0), Le(256), "more room per class for the boosting views"] = 1
    summary: Annotated[Literal["plain", "confident"], "the image is its plain view, or the mean of the sure ones"] = (
        "confident"
    )
    augment: Annotated[Literal["crop", "augmix"], "how views are made"] = "crop"
    compat: Annotated[bool, "negatives first in, first out"] = False

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Caches:
        """TDA's empty caches; without `negative` the second one has no slots."""
        return empty_caches(text, self.capacity, self.negative_capacity if self.negative else 0)

    def adapt(self, seen: Evidence, memory: Caches) -> tuple[Tensor, Caches]:
        """TDA's sum, in which the positive cache is joined by the boosting views for this answer."""
        image = self.summarise_views(seen)
        keep_surest(memory.keys[image.label], memory.entropy[image.label], image.feature, image.entropy)
        if self.negative and is_doubtful(image, self.entropy_low, self.entropy_high):
            (_keep_newest if self.compat else keep_doubtful)(
                memory, image, plausible(image, self.mask_low, self.mask_high)
            )
        affinity = support(memory.keys, memory.entropy, image.feature, self.beta)
        logits = image.logits + self.alpha * self.boost(affinity, seen, memory, image.feature)
        if self.negative:
            logits -= self.negative_alpha * objection(memory, image.feature, self.negative_beta)
        return logits, memory

    def explain(self, seen: Evidence, memory: Caches) -> Mapping[str, Tensor | float]:
        """As TDA; `kept` are the rows that boost, whichever summary is used."""
        return explain_cache(self.summarise_views(seen), memory, len(seen.views)) | {
            "kept": confident_rows(seen, self.confident)
        }

    def summarise_views(self, seen: Evidence) -> Summary:
        """What is cached of the picture: its plain view, or the sum of its confident ones."""
        if self.summary == "plain":
            return summarise(Evidence(seen.views[:1], seen.text), 1.0)
        return summarise(seen, self.confident)

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


def _keep_newest(memory: Caches, image: Summary, mask: Tensor) -> None:
    """Append to the negatives of the class, which are in order of arrival; the oldest is dropped. In place."""
    keys, entropies, masks = (part[image.label] for part in memory[2:])
    place = int(entropies.isfinite().sum())
    if place == len(entropies):
        place -= 1
        for part in (keys, entropies, masks):
            part[:-1] = part[1:].clone()
    keys[place], entropies[place], masks[place] = image.feature, image.entropy, mask
