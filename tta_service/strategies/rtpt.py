"""R-TPT's answer: views count as much as other views support them. Sheng et al., CVPR 2025, arXiv:2504.11195."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.strategy import Augment, Confident, Needs, Stateless, ViewCount
from ..maths import confident_rows


@register_strategy("rtpt")
@dataclass(frozen=True)
class RTPT(Stateless):
    """Weights are softmax(reliability / temperature); a view's reliability is its mean cosine to its nearest others.

    Only the confident views count and vouch for each other, because views that show nothing agree as well. The answer
    is the log of the weighted mean probability. The view itself and exact copies of it are no neighbours; where there
    are fewer than `neighbours`, all of them are. `compat` is the published reading: all views, and the weighted mean
    of logits. The prompt tuning that the paper puts in front of it is `tpt`.
    """

    views: ViewCount = 64
    neighbours: Annotated[int, Ge(1), Le(512), "nearest other views that vouch for one"] = 20
    temperature: Annotated[float, Ge(1e-4), Le(10), "of the weights: lower trusts fewer views"] = 0.01
    confident: Confident = 0.3
    augment: Augment = "crop"
    compat: Annotated[bool, "all views, and the mean of logits, as published"] = False

    def needs(self) -> Needs:
        """Its views, of which it reads the surest."""
        return Needs(views=self.views, augment=self.augment, confident=1.0 if self.compat else self.confident)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """ln Σ w·softmax(logits) over the confident views."""
        logits = seen.logits()
        rows, weight = self._weigh(seen, logits)
        if self.compat:
            return weight @ logits[rows], None
        return (logits[rows].log_softmax(-1) + weight.log()[:, None]).logsumexp(0), None

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """Notes are `kept`, the rows that count, and `weight`, their shares."""
        rows, weight = self._weigh(seen, seen.logits())
        return {"kept": rows, "weight": torch.zeros(len(seen.views)).index_put((rows,), weight)}

    def _weigh(self, seen: Evidence, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The rows [k] that count, and their weights [k], which sum to 1."""
        rows = torch.arange(len(logits)) if self.compat else confident_rows(seen, self.confident, logits)
        return rows, (self._reliability(seen.views[rows]) / self.temperature).softmax(0)

    def _reliability(self, views: Tensor) -> Tensor:
        """[k] of views [k, d]: the mean cosine to the nearest others; 0 for all where there is no other."""
        same = views.unique(dim=0, return_inverse=True)[1]
        cosines = (views @ views.T).masked_fill(same[:, None] == same, -torch.inf)
        nearest = cosines.topk(min(self.neighbours, len(views))).values
        there = nearest.isfinite()
        return nearest.where(there, 0).sum(1) / there.sum(1).clamp_min(1)
