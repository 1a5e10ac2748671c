"""TDA: a cache of the surest images of each class, and a negative cache of what doubtful images are not.
Karmanov et al., CVPR 2024, arXiv:2403.18293.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Augment, Capacity, Confident, Needs, Scope, Strategy, ViewCount
from ..maths import Summary, shared_weight, summarise

PINNED = -1.0  # in place of the entropy of a lesson: surer than any frame


class Caches(NamedTuple):
    """Slots of a class are in ascending order of entropy: `PINNED` for a lesson, +inf for an empty slot."""

    keys: Tensor  # [c, capacity, d]
    entropy: Tensor  # [c, capacity]
    negative_keys: Tensor  # [c, negative_capacity, d]
    negative_entropy: Tensor  # [c, negative_capacity]
    negative_mask: Tensor  # [c, negative_capacity, c] bool: classes that the image made plausible


@register_strategy("tda")
@dataclass(frozen=True)
class TDA(Strategy[Caches]):
    """Updates, then answers: an admitted frame supports its own pseudo-label.

    Two quirks of the published code stay, because its thresholds were tuned with them: the entropy window divides nats
    by log2(C), and the negative cache lowers every plausible class, the pseudo-label included.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    alpha: Annotated[float, Ge(0), Le(1e3), "weight of the positive cache"] = 2.0
    beta: Annotated[float, Ge(0), Le(1e3), "sharpness of the positive cache"] = 5.0
    capacity: Capacity = 3
    negative: Annotated[bool, "use the negative cache"] = True
    negative_alpha: Annotated[float, Ge(0), Le(1e3), "weight of the negative cache"] = 0.117
    negative_beta: Annotated[float, Ge(0), Le(1e3), "sharpness of the negative cache"] = 1.0
    negative_capacity: Annotated[int, Ge(1), Le(256), "doubtful images remembered per class"] = 2
    entropy_low: Annotated[float, Ge(0), Le(1), "doubtful: entropy / log2(C) above this"] = 0.2
    entropy_high: Annotated[float, Ge(0), Le(1), "doubtful: entropy / log2(C) below this"] = 0.5
    mask_low: Annotated[float, Ge(0), Le(1), "plausible: probability above this"] = 0.03
    mask_high: Annotated[float, Ge(0), Le(1), "plausible: probability below this"] = 1.0
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Caches:
        """Empty caches; without `negative` the second one has no slots."""
        (c, d), new, negatives = text.features.shape, text.features, self.negative_capacity if self.negative else 0
        return Caches(
            new.new_zeros(c, self.capacity, d),
            new.new_full((c, self.capacity), torch.inf),
            new.new_zeros(c, negatives, d),
            new.new_full((c, negatives), torch.inf),
            torch.zeros(c, negatives, c, dtype=torch.bool, device=new.device),
        )

    def adapt(self, seen: Evidence, memory: Caches) -> tuple[Tensor, Caches]:
        """Logits + α · `support` − α₋ · `objection`, after the caches have taken the image."""
        image = self.summarise_views(seen)
        keep_surest(memory.keys[image.label], memory.entropy[image.label], image.feature, image.entropy)
        if self.negative and is_doubtful(image, self.entropy_low, self.entropy_high):
            self.keep_doubtful(memory, image, plausible(image, self.mask_low, self.mask_high))
        logits = image.logits + self.alpha * self.support_of(seen, memory, image.feature)
        if self.negative:
            logits -= self.negative_alpha * objection(memory, image.feature, self.negative_beta)
        return logits, memory

    def teach(self, seen: Evidence, label: int, memory: Caches) -> Caches:
        """Pin the image in its class, where only later lessons displace it; it leaves all other slots."""
        feature = self.summarise_views(seen).feature
        strike(memory[:2], feature)
        strike(memory[2:], feature)
        for part, value in zip(memory[:2], (feature, PINNED)):
            part[label, 1:] = part[label, :-1].clone()
            part[label, 0] = value
        return memory

    def explain(self, seen: Evidence, memory: Caches) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of the positive cache; `admitted` says whether it holds this frame."""
        image = self.summarise_views(seen)
        return {
            "kept": image.rows,
            "weight": shared_weight(len(seen.views), image.rows),
            "fill": float(memory.entropy.isfinite().float().mean()),
            "admitted": float((memory.entropy[image.label] == image.entropy).any()),
        }

    def summarise_views(self, seen: Evidence) -> Summary:
        """What is cached of an image."""
        return summarise(seen, self.confident)

    def keep_doubtful(self, memory: Caches, image: Summary, mask: Tensor) -> None:
        """Insert the image into the negative cache of its class, with its plausible classes [c]. In place."""
        keys, entropies, masks = (part[image.label] for part in memory[2:])
        place = keep_surest(keys, entropies, image.feature, image.entropy)
        if place is not None:
            masks[place + 1 :] = masks[place:-1].clone()
            masks[place] = mask

    def support_of(self, seen: Evidence, memory: Caches, feature: Tensor) -> Tensor:
        """[c] what the positive cache says for each class."""
        return support(memory.keys, memory.entropy, feature, self.beta)


def keep_surest(keys: Tensor, entropies: Tensor, key: Tensor, entropy: Tensor) -> int | None:
    """Insert `key` [d] into `keys` [n, d] in order of entropy; the last key is dropped. In place.

    Returns the slot, or None when the entropy is not below the last one's.
    """
    if not entropy < entropies[-1]:
        return None
    place = int((entropies <= entropy).sum())  # after equal entropies
    keys[place + 1 :] = keys[place:-1].clone()
    entropies[place + 1 :] = entropies[place:-1].clone()
    keys[place], entropies[place] = key, entropy
    return place


def strike(cache: Sequence[Tensor], feature: Tensor) -> None:
    """Empty the slots that hold this image [d]; `cache` are keys, entropies and what else there is. In place."""
    keys, entropies, *_ = cache
    entropies[(keys == feature).all(-1)] = torch.inf
    for label in (entropies.diff(dim=1) < 0).any(1).nonzero()[:, 0].tolist():
        order = entropies[label].argsort(stable=True)
        for part in cache:
            part[label] = part[label][order]


def is_doubtful(image: Summary, low: float, high: float) -> bool:
    """Whether entropy / log2(C), nats over bits as published, is between the thresholds. False for one class."""
    classes = len(image.logits)
    ratio = float(image.entropy) / math.log2(classes) if classes > 1 else 0.0
    return low < ratio < high


def plausible(image: Summary, low: float, high: float) -> Tensor:
    """[c] bool: the classes whose probability is between the thresholds."""
    p = image.log_p.exp()
    return (p > low) & (p < high)


def support(keys: Tensor, entropy: Tensor, feature: Tensor, beta: float) -> Tensor:
    """[c] summed affinity exp(−β(1 − f·g)) of the feature [d] to the filled slots of each class."""
    return ((beta * (keys @ feature - 1)).exp() * entropy.isfinite()).sum(-1)


def objection(memory: Caches, feature: Tensor, beta: float) -> Tensor:
    """[c] summed affinity to all doubtful images that made the class plausible."""
    filled = memory.negative_entropy.isfinite()
    affinity = (beta * (memory.negative_keys[filled] @ feature - 1)).exp()
    return affinity @ memory.negative_mask[filled].to(affinity.dtype)
