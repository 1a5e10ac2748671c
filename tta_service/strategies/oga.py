"""OGA: one Gaussian per class with a shared precision, fitted to the surest images of the stream, times the zero-shot
prior. Fuchs et al., 2025, arXiv:2501.04352.
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
from ..core.strategy import Capacity, Needs, Scope, Strategy
from ..maths import entropy, inverse, pseudo_inverse

_REBUILD_EVERY = 256  # updates after which the scatter is summed again, which bounds the accumulated rounding


class Gaussians(NamedTuple):
    """The surest images of each class, and the Gaussians fitted to them."""

    features: Tensor  # [c, capacity, d]; float16 if compat
    entropy: Tensor  # [c, capacity], ln C where a slot is empty
    filled: Tensor  # [c, capacity] bool
    mean: Tensor  # [c, d]
    precision: Tensor  # [d, d] shared
    projected: Tensor  # [c, d] precision times mean
    bias: Tensor  # [c] −½ meanᵀ precision mean
    scatter: Tensor  # [d, d] float64, summed outer products of residuals
    total: Tensor  # [d] float64, summed residuals
    updates: Tensor  # ()


@register_strategy("oga")
@dataclass(frozen=True)
class OGA(Strategy[Gaussians]):
    """Updates, then answers. Before the first covariance the answer is zero-shot at scale s + τ·d, which is
    over-confident.

    `compat` is the published code: class means divided by the capacity, features, logits and entropies in float16.
    """

    capacity: Capacity = 8
    tau: Annotated[float, Ge(0), Le(100), "weight of the Gaussian likelihood"] = 0.05
    compat: Annotated[bool, "published divisor and float16 storage"] = False

    def needs(self) -> Needs:
        """One view; a memory for each session."""
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Gaussians:
        """Empty slots; means are the text features, the precision is d times the identity."""
        (c, d), new = text.features.shape, text.features
        mean, dimension = self._to_stored(text.features), float(d)
        return Gaussians(
            torch.zeros(c, self.capacity, d, dtype=torch.float16 if self.compat else new.dtype, device=new.device),
            self._to_stored(new.new_full((c, self.capacity), math.log(c))),
            torch.zeros(c, self.capacity, dtype=torch.bool, device=new.device),
            mean,
            dimension * torch.eye(d, device=new.device),
            dimension * mean,
            -0.5 * dimension * mean.square().sum(-1),
            torch.zeros(d, d, dtype=torch.float64, device=new.device),
            torch.zeros(d, dtype=torch.float64, device=new.device),
            torch.zeros((), dtype=torch.int64, device=new.device),
        )

    def adapt(self, seen: Evidence, memory: Gaussians) -> tuple[Tensor, Gaussians]:
        """Log posterior: log_softmax(logits) + log_softmax(τ · log density), normalised."""
        feature, logits, doubt = self.read_plain_view(seen)
        label = int(logits.argmax())
        slot = int(memory.entropy[label].argmax())
        if doubt < memory.entropy[label, slot]:
            learn(self, memory, seen.text, label, slot, feature, doubt)
        likelihood = (self.tau * (memory.projected @ feature + memory.bias)).log_softmax(-1)
        return (logits.log_softmax(-1) + likelihood).log_softmax(-1).float(), memory

    def teach(self, seen: Evidence, label: int, memory: Gaussians) -> Gaussians:
        """Keep the plain view as surer than all of its class, so that only later lessons displace it."""
        feature, _, _ = self.read_plain_view(seen)
        surest = memory.entropy[label].min().clamp(max=0) - 1
        learn(self, memory, seen.text, label, int(memory.entropy[label].argmax()), feature, surest)
        return memory

    def explain(self, seen: Evidence, memory: Gaussians) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of all slots; `admitted` says whether one holds this frame."""
        feature, logits, _ = self.read_plain_view(seen)
        equal = memory.features[int(logits.argmax())].float() == feature
        return {"fill": float(memory.filled.float().mean()), "admitted": float(equal.all(-1).any())}

    def read_plain_view(self, seen: Evidence) -> tuple[Tensor, Tensor, Tensor]:
        """The plain view's feature [d], its logits [c] and their entropy."""
        feature, text, scale = self._to_stored(seen.views[0]), self._to_stored(seen.text.features), seen.text.scale
        if not self.compat:
            logits = scale * (text @ feature)
            return feature, logits, entropy(logits)
        logits = (text @ (scale * feature).half().float()).half().double()
        p = logits.softmax(-1)
        return feature, logits, -(p * (p + 1e-9).log()).sum().half().float()

    def _to_stored(self, values: Tensor) -> Tensor:
        """A copy with the precision of the published storage, in float32."""
        return values.half().float() if self.compat else values.clone()


def learn(
    strategy: OGA, memory: Gaussians, text: TextSpace, label: int, slot: int, feature: Tensor, doubt: Tensor
) -> None:
    """Put the feature [d] into its slot; then update mean, scatter and precision. In place."""
    _count_residuals(memory, label, -1.0)
    memory.features[label, slot], memory.entropy[label, slot], memory.filled[label, slot] = feature, doubt, True
    features = memory.features[label, memory.filled[label]]
    if len(features) >= 2:
        total = features.double().sum(0)
        memory.mean[label] = strategy._to_stored(
            (total / (strategy.capacity if strategy.compat else len(features))).float()
        )
    _count_residuals(memory, label, 1.0)
    memory.updates.add_(1)
    if int(memory.updates) % _REBUILD_EVERY == 0:
        memory.scatter.zero_()
        memory.total.zero_()
        for c in memory.filled.any(1).nonzero().flatten().tolist():
            _count_residuals(memory, c, 1.0)
    if not _refit(memory):
        memory.projected[label] = memory.precision @ memory.mean[label]
        memory.bias[label] = -0.5 * memory.projected[label] @ memory.mean[label]


def _count_residuals(memory: Gaussians, label: int, sign: float) -> None:
    """Add (`sign` 1) or subtract (−1) what a class contributes to the scatter."""
    residuals = memory.features[label, memory.filled[label]].double() - memory.mean[label]  # [n, d]
    memory.scatter.addmm_(residuals.T, residuals, alpha=sign)
    memory.total.add_(residuals.sum(0), alpha=sign)


def _refit(memory: Gaussians) -> bool:
    """Compute the precision from the scatter, once a class holds three; False when the old one is kept."""
    counts = memory.filled.sum(1)
    n, d = int(counts.sum()), len(memory.total)
    if int(counts.max()) < 3:
        return False
    scatter = memory.scatter - torch.outer(memory.total, memory.total) / n
    spread = float(scatter.trace()) / (n - 1)
    if spread <= 1e-12:
        return False
    if n > 4 * d:
        precision = pseudo_inverse(scatter / (n - 1))
    else:  # ridge of Kubokawa and Srivastava
        scatter.diagonal().add_(spread)
        ridge = inverse(scatter)
        if ridge is None:
            return False
        precision = d * ridge
    memory.precision.copy_(precision)
    torch.mm(memory.mean, precision, out=memory.projected)
    memory.bias.copy_(-0.5 * (memory.projected * memory.mean).sum(-1))
    return True
