"""C-TPT: prompt tuning that also spreads the text features apart, so that confidence stays calibrated. Yoon et al.,
ICLR 2024, arXiv:2403.14119.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from .tpt import TPT, first_template


@register_strategy("c_tpt")
@dataclass(frozen=True)
class CTPT(TPT):
    """As TPT, its loss less λ times the mean distance of the text features from their centroid.

    Only the first template is tuned; with several, the answer before tuning is the first template's.
    """

    dispersion: Annotated[float, Ge(0), Le(1e4), "λ, the weight of the spread; 0 is TPT"] = 50.0
    spare: ClassVar[bool] = False  # every class changes the centroid

    def loss(self, logits: Tensor, features: Tensor) -> Tensor:
        """H(mean p) − λ·spread of the text features."""
        return super().loss(logits, features) - self.dispersion * spread(features)

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """As TPT; `loss` includes the spread, which `dispersion` gives by itself. Both are before the first step."""
        return {**super().explain(seen, memory), "dispersion": float(spread(first_template(seen.text)))}


def spread(features: Tensor) -> Tensor:
    """Mean distance of features [c, d] from their centroid; its gradient at distance 0 is 0."""
    squared = (features - features.mean(0)).square().sum(-1)
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt().where(apart, 0.0).mean()
