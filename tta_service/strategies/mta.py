"""MTA: the robust mean of the views, found by mean shift with a weight per view.
Zanella and Ben Ayed, CVPR 2024, arXiv:2405.02266.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.strategy import Augment, Needs, Stateless, ViewCount


@register_strategy("mta")
@dataclass(frozen=True)
class MTA(Stateless):
    """Classifies the densest point of the views on the sphere; the weights say how much each view belongs to it.

    That point is a mixture of views, so all rounds run on the inner products of views [v, v]. They are in float64,
    because squared distances of similar views are differences of nearly equal numbers, and the rounds amplify rounding
    errors a thousandfold where two groups of views balance.
    """

    views: ViewCount = 64
    lambda_affinity: Annotated[float, Ge(0), Le(1e3), "pull between views that predict alike"] = 4.0
    lambda_entropy: Annotated[float, Gt(0), Le(1e3), "pull towards equal weights"] = 0.2
    rounds: Annotated[int, Ge(1), Le(50), "most outer rounds, and most steps of each inner loop"] = 5
    tolerance: Annotated[float, Ge(0), Le(1), "an inner loop ends when it moves by less"] = 1e-6
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, all of which it reads."""
        return Needs(views=self.views, augment=self.augment)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """The mode of the views, f = Σ mixture · view, against the text features: scale · t·f."""
        if len(seen.views) == 1:
            return seen.logits()[0], None
        mixture, _ = self._settle(seen)
        return seen.text.scale * seen.text.features @ (mixture.float() @ seen.views), None

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """`weight` is the inlierness of each view."""
        if len(seen.views) == 1:
            return {"weight": torch.ones(1)}
        return {"weight": self._settle(seen)[1].float()}

    def _settle(self, seen: Evidence) -> tuple[Tensor, Tensor]:
        """The mode as a mixture [v] of views, and the inlierness [v] of each view."""
        rows = seen.views.double()
        products = rows @ rows.T  # [v, v]
        width = 2 * _bandwidth(products)
        alike = (seen.text.scale * rows @ seen.text.features.double().T).softmax(-1)  # [v, c]
        pull = self.lambda_affinity * (alike @ alike.T)
        weight = torch.full_like(width, 1 / len(width))
        mixture = torch.zeros_like(width)
        mixture[0] = 1.0
        for _ in range(self.rounds):
            weight = self._weigh((-_distance(products, mixture) / width).exp(), pull, weight)
            mixture = self._shift(products, width, weight.log(), mixture)
        return mixture, weight

    def _weigh(self, density: Tensor, pull: Tensor, weight: Tensor) -> Tensor:
        for _ in range(self.rounds):
            gain = density + pull @ weight
            before, weight = weight, ((gain - gain.max()) / self.lambda_entropy).softmax(0)
            if float((weight - before).norm()) < self.tolerance:
                break
        return weight

    def _shift(self, products: Tensor, width: Tensor, log_weight: Tensor, mixture: Tensor) -> Tensor:
        for _ in range(self.rounds):
            # in log space, because every kernel may underflow for identical views whose norm is not quite one
            share = (log_weight - _distance(products, mixture) / width).softmax(0)
            before, mixture = mixture, share / (share @ (products @ share)).sqrt().clamp_min(1e-12)
            moved = mixture - before
            if float((moved @ (products @ moved)).clamp_min(0).sqrt()) < self.tolerance:
                break
        return mixture


def _bandwidth(products: Tensor) -> Tensor:
    """[v] half the mean squared distance to the nearest 30 % of the other views; never 0."""
    norms, others = products.diagonal(), len(products) - 1
    squared = (norms[:, None] + norms - 2 * products).clamp_min(0)
    nearest = squared.sort(dim=1).values[:, 1 : 1 + min(others, max(1, int(0.3 * others)))]
    return (0.5 * nearest.mean(1)).clamp_min(1e-12)


def _distance(products: Tensor, mixture: Tensor) -> Tensor:
    """[v] squared distance of each view to the mixture [v] of views."""
    towards = products @ mixture
    return (products.diagonal() - 2 * towards + mixture @ towards).clamp_min(0)
