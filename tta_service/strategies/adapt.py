"""ADAPT: a Gaussian per class from a bank of sure images, pulled to the text, and a vote of the bank itself.
Zhang et al., NeurIPS 2025, arXiv:2508.15568.
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
from ..core.strategy import Augment, Capacity, Confident, Needs, Scope, Strategy, ViewCount
from ..maths import Summary, inverse, shared_weight, summarise

_REBUILD_EVERY = 256  # updates after which the scatter is summed again, which bounds the accumulated rounding


class Bank(NamedTuple):
    """The surest images of each class, and the Gaussians fitted to them."""

    features: Tensor  # [c, capacity, d] in the order of arrival
    entropy: Tensor  # [c, capacity], +inf where a slot is empty
    weight: Tensor  # [c, capacity] probability that the image gave to the class, 0 where empty
    mean: Tensor  # [c, d]
    precision: Tensor  # [d, d] shared
    projected: Tensor  # [c, d] precision times mean
    bias: Tensor  # [c] −ln C − ½ meanᵀ precision mean
    scatter: Tensor  # [d, d] float64, summed outer products of residuals
    total: Tensor  # [d] float64, summed residuals
    stale: Tensor  # [c, capacity] similarity to the last admitted image; zeros unless compat
    updates: Tensor  # ()


@register_strategy("adapt")
@dataclass(frozen=True)
class Adapt(Strategy[Bank]):
    """Updates, then answers with the mean logits plus (max logit / κ) times the log posterior of Gaussians and bank.

    The published product of logits and probabilities has the same strength, but reverses the ranking of negative
    logits. `compat` is that product; it also counts the frame twice in its class mean and uses the similarities to the
    last admitted frame.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    capacity: Capacity = 16
    alpha: Annotated[float, Ge(0), Le(1), "share of the images in a class mean; the rest is text"] = 0.9
    kappa: Annotated[float, Ge(1e-12), Le(1e4), "how little the posterior weighs"] = 60.0
    augment: Augment = "crop"
    compat: Annotated[bool, "the published product, double count and stale similarity"] = False

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Bank:
        """An empty bank; means are the text features, the precision is the identity."""
        (c, d), new = text.features.shape, text.features
        slots = new.new_zeros(c, self.capacity)
        return Bank(
            new.new_zeros(c, self.capacity, d),
            torch.full_like(slots, torch.inf),
            slots.clone(),
            text.features.clone(),
            torch.eye(d, device=new.device),
            text.features.clone(),
            -math.log(c) - 0.5 * text.features.square().sum(-1),
            torch.zeros(d, d, dtype=torch.float64, device=new.device),
            torch.zeros(d, dtype=torch.float64, device=new.device),
            slots.clone(),
            torch.zeros((), dtype=torch.int64, device=new.device),
        )

    def adapt(self, seen: Evidence, memory: Bank) -> tuple[Tensor, Bank]:
        """The mean logits plus the scaled log posterior; before that the bank takes the image if it is sure enough."""
        image = summarise(seen, self.confident)
        slot = int(memory.entropy[image.label].argmax())
        if image.entropy < memory.entropy[image.label, slot]:
            learn(self, memory, seen.text, slot, image)
        alike = memory.stale if self.compat else memory.features @ image.feature
        filled = int(memory.entropy.isfinite().sum())
        score = (memory.projected @ image.feature + memory.bias).log_softmax(-1)
        score = score + self.kappa / (2 * filled) * (memory.weight * alike).sum(-1)
        score = score - score.max()
        if self.compat:
            return image.logits * (score / self.kappa).exp(), memory
        return image.logits + max(1.0, float(image.logits.max())) / self.kappa * score, memory

    def teach(self, seen: Evidence, label: int, memory: Bank) -> Bank:
        """Keep the image as certain and surer than all of its class, so that only later lessons displace it."""
        image, entropies = summarise(seen, self.confident), memory.entropy[label]
        image = image._replace(
            label=label, entropy=entropies.min().clamp(max=0) - 1, log_p=torch.zeros_like(image.log_p)
        )
        learn(self, memory, seen.text, int(entropies.argmax()), image)
        return memory

    def explain(self, seen: Evidence, memory: Bank) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of the bank; `admitted` says whether it holds this frame."""
        image = summarise(seen, self.confident)
        return {
            "kept": image.rows,
            "weight": shared_weight(len(seen.views), image.rows),
            "fill": float(memory.entropy.isfinite().float().mean()),
            "admitted": float((memory.entropy[image.label] == image.entropy).any()),  # the bank holds this frame
        }


def learn(strategy: Adapt, memory: Bank, text: TextSpace, slot: int, image: Summary) -> None:
    """Put the image into its slot; then update mean, scatter and precision. In place."""
    label, share = image.label, float(image.log_p[image.label].exp())
    _count_residuals(memory, label, -1.0)
    memory.features[label, slot], memory.entropy[label, slot] = image.feature, image.entropy
    memory.weight[label, slot] = share
    weight = memory.weight[label].double()  # 0 for empty slots
    weighted, mass = weight @ memory.features[label].double(), weight.sum()
    if strategy.compat:  # the frame is counted a second time
        weighted, mass = weighted + share * image.feature, mass + share
    memory.mean[label] = (strategy.alpha * weighted / mass + (1 - strategy.alpha) * text.features[label]).float()
    _count_residuals(memory, label, 1.0)
    memory.updates.add_(1)
    if int(memory.updates) % _REBUILD_EVERY == 0:
        memory.scatter.zero_()
        memory.total.zero_()
        for c in memory.entropy.isfinite().any(1).nonzero().flatten().tolist():
            _count_residuals(memory, c, 1.0)
    if not _refit(memory):
        memory.projected[label] = memory.precision @ memory.mean[label]
    memory.bias.copy_(-math.log(len(memory.bias)) - 0.5 * (memory.projected * memory.mean).sum(-1))
    if strategy.compat:
        memory.stale.copy_(memory.features @ image.feature)


def _count_residuals(memory: Bank, label: int, sign: float) -> None:
    """Add (`sign` 1) or subtract (−1) what a class contributes to the scatter."""
    residuals = memory.features[label, memory.entropy[label].isfinite()].double() - memory.mean[label]  # [n, d]
    memory.scatter.addmm_(residuals.T, residuals, alpha=sign)
    memory.total.add_(residuals.sum(0), alpha=sign)


def _refit(memory: Bank) -> bool:
    """Compute the precision from the scatter; False when the old one is kept."""
    n, d = int(memory.entropy.isfinite().sum()), len(memory.total)
    if n < 2:
        return False
    scatter = memory.scatter - torch.outer(memory.total, memory.total) / n
    spread = float(scatter.trace())
    if spread <= 1e-12 * n:
        return False
    scatter.diagonal().add_(spread / (n - 1))
    ridge = inverse(scatter)
    if ridge is None:
        return False
    memory.precision.copy_(d * ridge)
    torch.mm(memory.mean, memory.precision, out=memory.projected)
    return True
