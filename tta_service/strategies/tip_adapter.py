"""Tip-Adapter: a person's lessons as keys of a cache that is read beside the text, without training.
Zhang et al., ECCV 2022, arXiv:2111.03930.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Capacity, Needs, Scope, Strategy
from ..maths import unit


class Keys(NamedTuple):
    """The slots of a class are a ring: its oldest lesson goes first."""

    features: Tensor  # [c, capacity, d]
    count: Tensor  # [c] int64 lessons ever taught


@register_strategy("tip_adapter")
@dataclass(frozen=True)
class TipAdapter(Strategy[Keys]):
    """Zero-shot until it is taught. A class's vote is its mean affinity; as published (`compat`) it is the sum, so that
    classes with more lessons win.
    """

    alpha: Annotated[float, Ge(0), Le(1e3), "weight of the lessons"] = 1.17
    beta: Annotated[float, Ge(0), Le(1e3), "sharpness of their affinity"] = 1.0
    capacity: Capacity = 16
    compat: Annotated[bool, "the published sum over the lessons of a class"] = False

    def needs(self) -> Needs:
        """One view; a memory for each session."""
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Keys:
        """Empty slots."""
        (c, d), new = text.features.shape, text.features
        return Keys(new.new_zeros(c, self.capacity, d), torch.zeros(c, dtype=torch.int64, device=new.device))

    def adapt(self, seen: Evidence, memory: Keys) -> tuple[Tensor, Keys]:
        """Logits plus α · the affinity exp(−β(1 − f·g)) of the plain view f to the lessons g of each class."""
        vote = (self._affinity(seen, memory)).sum(-1)
        if not self.compat:
            vote = vote / memory.count.clamp(1, self.capacity)
        return seen.logits()[0] + self.alpha * vote, memory

    def teach(self, seen: Evidence, label: int, memory: Keys) -> Keys:
        """Keep the mean of all views, normalised."""
        slot = int(memory.count[label]) % self.capacity
        memory.features[label, slot] = unit(seen.views.mean(0))
        memory.count[label] += 1
        return memory

    def explain(self, seen: Evidence, memory: Keys) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of all slots; `affinity` the largest to a lesson."""
        filled = memory.count.clamp(max=self.capacity)
        return {
            "fill": float(filled.sum()) / (len(filled) * self.capacity),
            "affinity": float(self._affinity(seen, memory).max()),
        }

    def _affinity(self, seen: Evidence, memory: Keys) -> Tensor:
        """[c, capacity], 0 where a slot is empty."""
        filled = torch.arange(self.capacity, device=memory.count.device) < memory.count[:, None]
        return (self.beta * (memory.features @ seen.views[0] - 1)).exp() * filled
