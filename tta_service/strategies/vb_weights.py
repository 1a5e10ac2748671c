"""Named augmentations, weighted by a variational Bayes fit to the stream.
After Kimura and Bondell, 2024, arXiv:2409.12587.

Published, as far as it could be read: test-time augmentation is a weighted sum of predictions, and weights that
maximise the marginal likelihood suppress augmentations that do not help. Everything else here is ours: the views, the
soft consensus that stands in for labels, the Dirichlet prior, the window, the warm-up. No published number is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Needs, Scope, Strategy

VIEWS = 10  # the named ones: plain, flip, five crops, three scales


class Ring(NamedTuple):
    """The evidence of each view for the consensus, over the last frames."""

    evidence: Tensor  # [window, 10] expected log-likelihood of the consensus, ≤ 0
    head: Tensor  # () int64 where the next frame goes
    count: Tensor  # () int64 frames seen
    weights: Tensor  # [10] sum to 1


@register_strategy("vb_weights")
@dataclass(frozen=True)
class VBWeights(Strategy[Ring]):
    """Answers, then updates. The consensus comes from the model itself, so views that agree gain weight even if wrong.

    A frame whose rows are not the ten named views is answered with their mean and leaves the memory as it is.
    """

    prior: Annotated[float, Gt(0), Le(1e3), "Dirichlet concentration; far below 1, chance lets one view take all"] = 1.0
    iterations: Annotated[int, Ge(1), Le(1000), "rounds of the fit, at most"] = 50
    window: Annotated[int, Ge(4), Le(2500), "frames that the fit looks at"] = 64
    warmup: Annotated[int, Ge(0), Le(100_000), "frames before the weights leave uniformity"] = 16

    def needs(self) -> Needs:
        """The ten named views; a memory for each session."""
        return Needs(views=VIEWS, augment="named", memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Ring:
        """An empty window and equal weights."""
        new, zero = text.features, torch.zeros((), dtype=torch.int64)
        return Ring(new.new_zeros(self.window, VIEWS), zero, zero.clone(), new.new_full((VIEWS,), 1 / VIEWS))

    def adapt(self, seen: Evidence, memory: Ring) -> tuple[Tensor, Ring]:
        """ln Σ_v weight_v · p_v; then the frame's evidence enters the window and the weights are fitted anew."""
        log_p = seen.logits().log_softmax(-1)  # [v, c]
        if len(log_p) != VIEWS:
            return log_p.logsumexp(0) - math.log(len(log_p)), memory
        logits = (memory.weights.log()[:, None] + log_p).logsumexp(0)
        # A consensus of equal weights, so that no view reinforces itself.
        memory.evidence[int(memory.head)] = log_p @ log_p.exp().mean(0)
        memory.head.add_(1).remainder_(self.window)
        memory.count.add_(1)
        if memory.count >= self.warmup:
            memory.weights.copy_(self.fit(memory.evidence[: int(memory.count)]))
        return logits, memory

    def fit(self, evidence: Tensor) -> Tensor:
        """Evidence [n, k] to the mean [k] of the Dirichlet posterior over view weights, float64."""
        n, k = evidence.shape
        evidence = evidence.double()
        alpha = evidence.new_full((k,), self.prior + n / k)
        for _ in range(self.iterations):
            share = (alpha.digamma() - alpha.sum().digamma() + evidence).softmax(-1)  # [n, k] responsibilities
            before, alpha = alpha, self.prior + share.sum(0)
            if (alpha - before).abs().max() < 1e-6 * n:
                break
        return alpha / alpha.sum()

    def explain(self, seen: Evidence, memory: Ring) -> Mapping[str, Tensor | float]:
        """The weights as this frame leaves them."""
        v = len(seen.views)
        return {
            "weight": memory.weights.clone() if v == VIEWS else torch.full((v,), 1 / v),
            "fill": min(float(memory.count), self.window) / self.window,
        }
