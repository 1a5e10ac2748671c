"""C-TPT: prompt tuning that also spreads the text features apart, so that confidence stays calibrated. Yoon et al.,
ICLR 2024, arXiv:2403.14119.
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
from ..core.strategy import Needs, Stateless
from ..maths import confident_rows, marginal_entropy, shared_weight
from .tpt import first_template, note_first_template_only, tune


@register_strategy("c_tpt")
@dataclass(frozen=True)
class CTPT(Stateless):
    """As TPT, its loss less λ times the mean distance of the text features from their centroid.

    Only the first template is tuned; with several, the answer before tuning is the first template's.
    """

    views: Annotated[int, Ge(1), Le(512), "views of the image, the plain one included"] = 64
    confident: Annotated[float, Gt(0), Le(1), "fraction of views kept by lowest entropy"] = 0.1
    steps: Annotated[int, Ge(0), Le(10), "gradient steps"] = 1
    learning_rate: Annotated[float, Ge(0), Le(1), "of AdamW"] = 5e-3
    weight_decay: Annotated[float, Ge(0), Le(1), "of AdamW"] = 0.01
    dispersion: Annotated[float, Ge(0), Le(1e4), "λ, the weight of the spread; 0 is TPT"] = 50.0
    augment: Annotated[Literal["crop", "augmix"], "how views are made"] = "crop"

    def needs(self) -> Needs:
        """Its views, and gradients through the text tower."""
        return Needs(self.views, augment=self.augment, confident=self.confident, gradient=True)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """The plain view against prompts tuned on H(mean p) − λ·spread of the text features."""
        text, initial = seen.text, first_template(seen.text)
        views = seen.views[confident_rows(seen, self.confident, seen.logits(initial))].double()

        def loss(features: Tensor) -> Tensor:
            return marginal_entropy(text.scale * views @ features.T) - self.dispersion * spread(features)

        # every class changes the centroid, so none may be left out
        context = tune(text, initial, loss, self.steps, self.learning_rate, self.weight_decay)
        return text.scale * text.prompts.encode(context) @ seen.views[0], None

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """As TPT; `loss` includes the spread, which `dispersion` gives by itself. Both are before the first step."""
        initial = first_template(seen.text)
        logits = seen.logits(initial)
        rows = confident_rows(seen, self.confident, logits)
        return {
            "kept": rows,
            "weight": shared_weight(len(seen.views), rows),  # in the loss; the plain view alone is classified
            "loss": float(marginal_entropy(logits[rows]) - self.dispersion * spread(initial)),  # before the first step
            "dispersion": float(spread(initial)),
            "steps": float(self.steps),
            **note_first_template_only(seen.text),
        }


def spread(features: Tensor) -> Tensor:
    """Mean distance of features [c, d] from their centroid; its gradient at distance 0 is 0."""
    squared = (features - features.mean(0)).square().sum(-1)
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt().where(apart, 0.0).mean()
