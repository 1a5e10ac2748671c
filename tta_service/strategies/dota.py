"""DOTA: means of all classes and one covariance, learned from every frame and weighed in slowly, so that with many
labels it hardly acts in a short session. Han et al., NeurIPS 2025, arXiv:2409.19375.
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
from ..core.labels import TextSpace
from ..core.strategy import Augment, Confident, Needs, Scope, Strategy, ViewCount
from ..maths import lower_factor, shared_weight, summarise
from .dota_covariance import Compact, Exact, advance_compact, advance_exact, begin_compact, begin_exact

_EXACT = 2**24  # largest C·d² for which every class has its own covariance: 64 MB


@register_strategy("dota")
@dataclass(frozen=True)
class DOTA(Strategy[Exact | Compact]):
    """Answers, then learns. The weight of the Gaussians grows with the frames seen: min(ρ·mean(count)/k, η).

    Up to C·d² = 2²⁴ every class has its own covariance, as published. Above, each class stores its `rows` heaviest
    residuals, and the others go into one shared remainder: 40 MB instead of 1 GB at 1000 classes, with a bounded error.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    sigma: Annotated[float, Ge(1e-12), Le(10), "variance of a class that has seen nothing"] = 0.002
    epsilon: Annotated[float, Gt(0), Le(1), "share of the identity in the covariance"] = 1e-4
    eta: Annotated[float, Ge(0), Le(100), "largest weight of the Gaussians"] = 0.2
    rho: Annotated[float, Ge(0), Le(100), "how fast their weight grows"] = 0.005
    rows: Annotated[int, Ge(1), Le(64), "residuals kept per class where C·d² is above 2^24; below, everything is"] = 16
    lesson_weight: Annotated[float, Ge(0), Le(1e3), "how many frames a lesson counts for"] = 10.0
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Exact | Compact:
        """Small equal means and the covariance σI for every class, exact or compact by the size of C·d²."""
        c, d = text.features.shape
        return begin_exact(c, d, self.sigma) if c * d * d <= _EXACT else begin_compact(c, d, self.sigma, self.rows)

    def predict(self, seen: Evidence, memory: Exact | Compact) -> tuple[Tensor, Tensor]:
        """Logits plus strength · (mᵀ Σ⁻¹ f − ½ mᵀ Σ⁻¹ m) of each class mean m; the confident rows are learned from."""
        image = summarise(seen, self.confident)
        whitened = torch.cholesky_solve(image.feature[:, None], memory.factor)[:, 0]
        score = memory.mean @ whitened - memory.quadratic
        return image.logits + self._strength(memory, len(image.rows)) * score, image.rows

    def update(self, seen: Evidence, memory: Exact | Compact, carry: Tensor) -> Exact | Compact:
        """Every class learns its share of the rows `carry`."""
        sure = Evidence(seen.views[carry], seen.text)
        return self._observe(memory, sure.views, sure.logits().softmax(-1))

    def teach(self, seen: Evidence, label: int, memory: Exact | Compact) -> Exact | Compact:
        """The class of the lesson learns from the confident rows, which count for `lesson_weight` frames."""
        views = seen.views[summarise(seen, self.confident).rows]
        shares = views.new_zeros(len(views), len(memory.mean))
        shares[:, label] = self.lesson_weight
        return self._observe(memory, views, shares)

    def _observe(self, memory: Exact | Compact, rows: Tensor, shares: Tensor) -> Exact | Compact:
        """Count rows [k, d], each for its shares [k, c] of the classes. In place."""
        advance = advance_exact if isinstance(memory, Exact) else advance_compact
        covariance = advance(memory, rows, shares, self.sigma)  # type: ignore[arg-type]
        covariance.mul_(1 - self.epsilon).diagonal().add_(self.epsilon)
        factor = lower_factor(covariance)
        if factor is not None:
            memory.factor.copy_(factor)
            white = torch.linalg.solve_triangular(memory.factor.T, memory.mean, upper=True, left=False)  # [c, d]
            memory.quadratic.copy_(0.5 * white.square().sum(-1))
        return memory

    def explain(self, seen: Evidence, memory: Exact | Compact) -> Mapping[str, Tensor | float]:
        """`strength` is the weight of the Gaussians in the next answer."""
        rows = summarise(seen, self.confident).rows
        return {
            "kept": rows,
            "weight": shared_weight(len(seen.views), rows),
            "strength": self._strength(memory, len(rows)),  # of the next answer
        }

    def _strength(self, memory: Exact | Compact, rows: int) -> float:
        return min(self.rho * float(memory.count.mean()) / rows, self.eta)
