"""Ridge regression from features to classes, with every moment of the lessons left out in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from ...maths import unit
from .lessons import Elsewhere, Lessons

_RIDGE = 1.0  # beside unit features


class Ridge:
    """Ridge regression from unit features to classes, each of which has the same weight in all.

    Besides the lessons, each of the `sums` [c, d] is an example of every class that counts as much as it is long, and
    lessons elsewhere are examples at their means, whose scatter around these is taken to be the same in all directions.
    """

    def __init__(self, lessons: Lessons, other: Elsewhere, *sums: Tensor) -> None:
        (c, d), device = sums[0].shape, sums[0].device
        self._lessons, classes = lessons, torch.arange(c, device=device)
        held = other.count > 0
        label = torch.cat([lessons.label, classes[held], *[classes] * len(sums)])
        size = torch.cat([lessons.share, other.count[held], *(one.norm(dim=-1) for one in sums)])
        per_class = torch.zeros(c, device=device).index_add_(0, label, size).clamp(min=1e-6)
        self._root = (size * (per_class.mean() / per_class)[label]).sqrt()[:, None]
        self._truth = torch.nn.functional.one_hot(label, c).to(size.dtype) - 1 / c
        means = other.sums[held] / other.count[held, None]
        examples = self._examples = self._root * torch.cat([lessons.at, means, *map(unit, sums)])
        weight = self._root[len(lessons.label) :][: len(means), 0].square()
        within = weight @ (1 - means.square().sum(-1)).clamp(min=0)  # what means leave out
        self._ridge = _RIDGE + float(within) / d
        if len(examples) < d:  # solved in whichever space is smaller
            self._solved = torch.cholesky_solve(examples, self._factor(examples @ examples.T))
        else:
            self._solved = torch.cholesky_solve(examples.T, self._factor(examples.T @ examples)).T
        whole = (self._root * self._truth).T @ self._solved  # [c, d]
        self._amiss = self._root * self._truth - examples @ whole.T
        self._length = whole.norm(dim=-1).mean().clamp(min=1e-6)
        self.rows = whole / self._length

    def pull(self) -> Tensor:
        """[n] the factor of a lesson's feature in the row of its class."""
        n = len(self._lessons.label)
        amiss = self._amiss[:n].gather(1, self._lessons.label[:, None])
        return (self._root[:n] * amiss)[:, 0] / (self._ridge * self._length)

    def left_out(self) -> Tensor:
        """[n, c] scores of the lessons without their moments, in closed form."""
        n = len(self._lessons.label)
        own = (self._solved[:n] * self._examples[:n]).sum(-1)
        amiss = self._amiss[:n] / (1 - own).clamp(min=1e-3)[:, None]
        _, which, count = self._lessons.moment.unique(return_inverse=True, return_counts=True)
        for one in (count > 1).nonzero()[:, 0]:
            rows = (which == one).nonzero()[:, 0]
            own = self._solved[rows] @ self._examples[rows].T
            amiss[rows] = torch.linalg.solve(torch.eye(len(rows), device=own.device) - own, self._amiss[rows])
        return (self._truth[:n] - amiss / self._root[:n]) / self._length

    def _factor(self, inner: Tensor) -> Tensor:
        inner.diagonal().add_(self._ridge)
        return torch.linalg.cholesky(inner)
