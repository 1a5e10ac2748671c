"""GDA: Gaussians with one covariance, fitted in closed form to a person's lessons, beside the text.
Wang et al., ICLR 2024, arXiv:2402.04087.
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
from ..core.lesson_sums import LessonSums
from ..core.strategy import Needs, Scope, Strategy
from ..maths import pseudo_inverse


class Sums(NamedTuple):
    """Sufficient statistics of the lessons, which add up, and the classifier that `fit` makes of them."""

    count: Tensor  # [c] int64
    total: Tensor  # [c, d] float64
    outer: Tensor  # [d, d] float64, summed outer products
    weight: Tensor  # [c, d] precision times mean
    bias: Tensor  # [c]
    learnt: Tensor  # () int64, the lessons in `weight` and `bias`


@register_strategy("gda")
@dataclass(frozen=True)
class GDA(Strategy[Sums]):
    """Zero-shot until two lessons of one class tell what varies within it. All lessons count for good, in bounded room.

    A class without a lesson gets the mean score of the others; as published (`compat`) nothing is defined before every
    class has one, so the answer stays zero-shot. The authors choose `alpha` on test data; at 1 the confidences are too
    high.
    """

    alpha: Annotated[float, Ge(0), Le(1e3), "weight of the Gaussians"] = 1.0
    compat: Annotated[bool, "only once every class has a lesson, as published"] = False

    def needs(self) -> Needs:
        """One view; a memory for each session."""
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Sums:
        """No lessons and no scores."""
        (c, d), new = text.features.shape, text.features
        return Sums(
            torch.zeros(c, dtype=torch.int64, device=new.device),
            torch.zeros(c, d, dtype=torch.float64, device=new.device),
            torch.zeros(d, d, dtype=torch.float64, device=new.device),
            new.new_zeros(c, d),
            new.new_zeros(c),
            torch.zeros((), dtype=torch.int64, device=new.device),
        )

    def adapt(self, seen: Evidence, memory: Sums) -> tuple[Tensor, Sums]:
        """Logits plus α · (w·f + b) of the plain view f."""
        return seen.logits()[0] + self.alpha * (memory.weight @ seen.views[0] + memory.bias), memory

    def teach(self, seen: Evidence, label: int, memory: Sums) -> Sums:
        """Count the plain view."""
        feature = seen.views[0].double()
        memory.count[label] += 1
        memory.total[label] += feature
        memory.outer.addr_(feature, feature)
        return memory

    def add_sums(self, sums: LessonSums, memory: Sums) -> Sums:
        """Another site's lessons count as if they were taught here."""
        return Sums(memory.count + sums.counts, memory.total + sums.sums, memory.outer + sums.scatter, *memory[3:])

    def fit_is_due(self, memory: Sums) -> bool:
        """Whether there are lessons that the classifier does not know."""
        return bool(memory.count.sum() != memory.learnt)

    def fit(self, memory: Sums, text: TextSpace) -> Mapping[str, Tensor]:
        """w_c = P μ_c and b_c = −ln C − ½ μ_cᵀ P μ_c, with P = d (S + tr S / (n − 1) · I)⁺ and S the scatter."""
        n, (c, d), taught = int(memory.count.sum()), memory.total.shape, memory.count > 0
        weight, bias = torch.zeros_like(memory.weight), torch.zeros_like(memory.bias)
        mean = memory.total / memory.count.clamp(min=1)[:, None]
        scatter = memory.outer - mean.T @ memory.total
        spread = float(scatter.trace())
        if spread > 1e-9 * n and (taught.all() or not self.compat):
            scatter.diagonal().add_(spread / (n - 1))
            mean = mean.float()
            weight = d * (mean @ pseudo_inverse(scatter))
            bias = -math.log(c) - 0.5 * (weight * mean).sum(-1)
            weight[~taught], bias[~taught] = weight[taught].mean(0), bias[taught].mean()
        return {"weight": weight, "bias": bias, "learnt": torch.full_like(memory.learnt, n)}

    def explain(self, seen: Evidence, memory: Sums) -> Mapping[str, Tensor | float]:
        """`fill` is the fraction of the classes that have a lesson; `lessons` those that the answer knows."""
        return {"fill": float((memory.count > 0).float().mean()), "lessons": float(memory.learnt)}
