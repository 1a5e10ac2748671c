"""Batches for the image tower: views of both sets, the answers wanted for them, and mixtures of two (mixup)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from data import Pictures
from schedule import Phase
from torch import Tensor
from torch.nn import functional as F
from views import crop, normalise, service_crop, tint, whole

SHARES = {"tiny_imagenet": 0.7, "cifar10": 0.3}  # of each batch


class Order:
    """Rows of one set in random order, all of them before any returns."""

    def __init__(self, pictures: Pictures, draw: torch.Generator) -> None:
        self.pictures, self.draw, self.left = pictures, draw, torch.empty(0, dtype=torch.long)

    def take(self, count: int) -> Tensor:
        while len(self.left) < count:
            self.left = torch.cat([self.left, torch.randperm(len(self.pictures.labels), generator=self.draw)])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of `views` and `plain` are those of the sets in the order of `answers`."""

    views: Tensor  # [b, 3, s, s], ready for the tower
    plain: Tensor  # [b, 3, s, s], the same pictures whole
    answers: dict[str, Tensor]  # of each set [n, c]: probabilities of its names


def draw_batch(orders: Mapping[str, Order], size: int, phase: Phase, draw: torch.Generator) -> Batch:
    """`size` views in the shares of the sets; each answer is certain."""
    views, plain, answers = [], [], {}
    for name, order in orders.items():
        rows = order.pictures.rows(order.take(round(SHARES[name] * size)))
        answers[name] = F.one_hot(rows.labels, len(rows.names)).float()
        plain.append(whole(rows.pixels, phase.side))
        if phase.smallest:
            views.append(crop(rows.pixels, phase.side, phase.smallest, draw))
        else:
            views.append(service_crop(rows.pixels, phase.side, phase.plain, draw))
    return Batch(normalise(tint(torch.cat(views), draw)), normalise(torch.cat(plain)), answers)


def mix(batch: Batch, alpha: float, draw: torch.Generator) -> Batch:
    """Each view a mixture with another of its set (mixup, Zhang et al., arXiv:1710.09412), and so its answer.

    One weight a batch, from Beta(alpha, alpha).
    """
    odds = torch._sample_dirichlet(torch.full((2,), alpha), generator=draw)[0].item()
    sizes = [len(answers) for answers in batch.answers.values()]
    views, answers = [], {}
    for part, (name, right) in zip(batch.views.split(sizes), batch.answers.items(), strict=True):
        other = torch.randperm(len(part), generator=draw)
        views.append(odds * part + (1 - odds) * part[other])
        answers[name] = odds * right + (1 - odds) * right[other]
    return Batch(torch.cat(views).contiguous(memory_format=torch.channels_last), batch.plain, answers)
