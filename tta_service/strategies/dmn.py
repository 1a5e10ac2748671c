"""DMN: a memory of each class's surest images, read by attention from the image at hand.
Zhang et al., CVPR 2024, arXiv:2403.17589 (the training-free form, DMN-ZS).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Augment, Confident, Needs, Scope, Strategy, ViewCount
from ..maths import Summary, shared_weight, summarise, unit

CHUNK = 1 << 19  # numbers per block, so that the second pass over a block finds it in the CPU's cache


class Slots(NamedTuple):
    """The slots of a class are filled from the left."""

    features: Tensor  # [c, slots, d]
    entropy: Tensor  # [c, slots], +inf where a slot is empty
    count: Tensor  # [c] int64 slots filled


@register_strategy("dmn")
@dataclass(frozen=True)
class DMN(Strategy[Slots]):
    """Updates, then answers. The authors choose `weight` per data set by test accuracy; here it has one default.

    The memory is the largest of all: classes × slots × features × 4 bytes a session.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    slots: Annotated[int, Ge(1), Le(512), "images remembered per class"] = 50
    beta: Annotated[float, Ge(0), Le(1e3), "sharpness of the attention"] = 5.5
    weight: Annotated[float, Ge(0), Le(1e9), "weight of the memory's probabilities beside the text's"] = 1.0
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Slots:
        """Empty slots for every class."""
        (c, d), new = text.features.shape, text.features
        return Slots(
            new.new_zeros(c, self.slots, d),
            new.new_full((c, self.slots), torch.inf),
            torch.zeros(c, dtype=torch.int64, device=new.device),
        )

    def adapt(self, seen: Evidence, memory: Slots) -> tuple[Tensor, Slots]:
        """log(p_text + weight · p_memory) up to a constant: the probabilities are mixed, not the logits."""
        image, plain = summarise(seen, self.confident), seen.views[0]
        keep_surest(memory, int(image.log_p.argmax()), plain, image.entropy)
        log_text = (seen.text.scale * seen.views[:1] @ seen.text.features.T)[0].log_softmax(-1)
        if self.weight == 0:
            return log_text, memory
        prototypes = read(memory, seen.text.features, plain, self.beta)
        log_seen = (seen.text.scale * (prototypes @ plain)).log_softmax(-1)
        mixed = torch.logaddexp(log_text, math.log(self.weight) + log_seen) - math.log1p(self.weight)
        return mixed, memory

    def teach(self, seen: Evidence, label: int, memory: Slots) -> Slots:
        """Keep the plain view as surer than all of its class, so that only later lessons displace it."""
        keep_surest(memory, label, seen.views[0], memory.entropy[label].min().clamp(max=0) - 1)
        return memory

    def explain(self, seen: Evidence, memory: Slots) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of all slots; `admitted` says whether one holds this frame."""
        image: Summary = summarise(seen, self.confident)
        entropies = memory.entropy[int(image.log_p.argmax())]
        return {
            "kept": image.rows,
            "weight": shared_weight(len(seen.views), image.rows),
            "fill": float(memory.entropy.isfinite().float().mean()),
            "admitted": float((entropies == image.entropy).any()),
        }


def keep_surest(memory: Slots, label: int, feature: Tensor, entropy: Tensor) -> None:
    """Append to the class `label`, or replace its least sure image (the last of equals) when this one is surer."""
    entropies, filled = memory.entropy[label], int(memory.count[label])
    if filled < len(entropies):
        slot = filled
        memory.count[label] += 1
    else:
        slot = len(entropies) - 1 - int(entropies.flip(0).argmax())
        if not entropy < entropies[slot]:
            return
    memory.features[label, slot], entropies[slot] = feature, entropy


def read(memory: Slots, text: Tensor, image: Tensor, beta: float) -> Tensor:
    """[c, d] unit prototypes: the attention of an image [d] over each class's slots and its text feature [c, d]."""
    prototypes = text * (beta * (text @ image - 1)).exp()[:, None]
    _, slots, d = memory.features.shape
    for part in torch.arange(len(text)).split(max(1, CHUNK // (slots * d))):
        rows = slice(int(part[0]), int(part[-1]) + 1)
        if memory.count[rows].any():
            features = memory.features[rows]  # [m, slots, d]
            near = (beta * (features @ image - 1)).exp() * memory.entropy[rows].isfinite()  # [m, slots]
            prototypes[rows] += torch.bmm(near[:, None], features)[:, 0]
    filled = memory.count > 0
    return torch.where(filled[:, None], unit(prototypes), text)
