"""The classifiers among which `taught` chooses, and how well each foretells the lessons.

A classifier is z = t · zero-shot logits + w · cos(A (x − m), P). Its prototype P_c = S_c + κ · text_c is the sum of the
lessons of a class beside its text, both centred, stretched by A and of unit length. A whitens by the covariance of all
that the session saw, shrunk by ρ towards a sphere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..maths import unit

TEXT = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0)  # t
MEANS = (0.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)  # w
WORTH = (0.3, 0.8, 2.0, 5.0, 12.0, 30.0)  # κ: so many lessons the text is worth
ROUND = (1.0, 0.7, 0.3)  # ρ
SHAPE = len(ROUND), len(WORTH), len(TEXT), len(MEANS)

_WRONG = 0.001  # share of the lessons that may be wrong
_MOMENT = 0.98  # cosine above which two lessons of a class show the same moment
_JUDGED = 512  # lessons that choose; all of them make the prototypes
_LEAST = 1e-3  # classifiers of less weight are dropped


class Space(NamedTuple):
    """Where features are compared."""

    centre: Tensor  # [d] m
    basis: Tensor  # [d, d] eigenvectors of the covariance, in columns
    stretch: Tensor  # [r, d] in this basis

    def place(self, features: Tensor, centre: Tensor | None = None) -> Tensor:
        """[..., d] to unit [r, ..., d], 0 at the centre; text has a centre of its own."""
        away = (features - (self.centre if centre is None else centre)) @ self.basis
        return unit(torch.stack([away * one for one in self.stretch]))


class Prototypes(NamedTuple):
    """P of every ρ and κ, in the stretched basis."""

    sums: Tensor  # [r, c, d]
    text: Tensor  # [r, c, d]
    length: Tensor  # [r, k, c]

    def cosines(self, placed: Tensor) -> Tensor:
        """[r, d] of one image to [r, k, c]."""
        to_lessons, to_text = (
            torch.stack([rows.mv(one) for rows, one in zip(some, placed)])[:, None] for some in (self.sums, self.text)
        )
        return (to_lessons + placed.new_tensor(WORTH)[:, None] * to_text) / self.length


def space(mean: Tensor, covariance: Tensor, frames: int, lessons: Tensor, label: Tensor) -> Space:
    """From the mean and covariance of so many frames, and lessons [n, d] of the classes [n], which count as frames."""
    n, mean = len(lessons), mean.double()
    of_class = torch.zeros(int(label.max()) + 1, len(mean), dtype=torch.float64, device=mean.device)
    of_class.index_add_(0, label, lessons.double())
    count = label.bincount()
    balanced = (of_class[count > 0] / count[count > 0, None]).mean(0)
    centre = (frames * mean + n * balanced) / (frames + n)
    away, drift = lessons.double() - centre, mean - centre
    spread = (frames * (covariance.double() + torch.outer(drift, drift)) + away.T @ away) / (frames + n)
    values, basis = torch.linalg.eigh(spread)
    values, size = values.clamp(min=0), values.mean().clamp(min=1e-12)
    stretch = torch.stack([((1 - rho) * values + rho * size).rsqrt() for rho in ROUND])
    return Space(centre.float(), basis.float(), stretch.float())


def choose(
    features: Tensor, filled: Tensor, where: Space, text: Tensor, scale: float, sureness: float
) -> tuple[Prototypes, Tensor]:
    """The prototypes of lessons [c, s, d] in slots [c, s], and the weight [r, k, t, w] of every classifier.

    A lesson is judged without those of its moment, and the lessons of a moment count for one. The likelihood counts
    half, because judgements that share lessons depend on each other. What it leaves open is decided by a prior that
    fades as lessons come: w near 10, a sphere, and κ from ½, where the text tells nothing about the lessons, to 64.
    Lessons that are only zero-shot's mistakes tell nothing about the text; then its mean probability of the best class
    over all frames, `sureness`, does.
    """
    same = (features @ features.mT > _MOMENT) & filled[:, None] & filled[:, :, None] | torch.diag_embed(filled)
    share = filled / same.sum(-1).clamp(min=1)  # [c, s]
    label, slot = filled.nonzero(as_tuple=True)
    if len(label) > _JUDGED:
        some = torch.linspace(0, len(label) - 1, _JUDGED, device=label.device).long()
        label, slot = label[some], slot[some]
    trial = _Trial(scale * features[label, slot] @ text.T, label, share[label, slot])
    several = float((share.sum(1) > 1.5).float().mean())  # share of the classes that can be judged at all
    doubt = 1 / (1 + several * float(share.sum()) / 16)
    slots, prototypes = where.place(features) * filled[..., None], where.place(text, text.mean(0))
    sums = (share[..., None] * slots).sum(-2)
    known = trial.information(slots[0, label, slot] @ prototypes[0].T)
    known = max(known, trial.are_mistakes() * sureness**2)
    prior_means = (text.new_tensor(MEANS).add(1).log() - math.log(11)).square()
    lengths, losses = [], []
    for r, rho in enumerate(ROUND):
        others = sums[r][:, None] - (same * share[:, None]) @ slots[r]  # [c, s, d]
        for kappa, length, cosine in _judge(slots[r][label, slot], others[label, slot], sums[r], prototypes[r], label):
            prior = prior_means + (math.log2(kappa) + 1 - 7 * known) ** 2
            prior = prior + (0 if rho == 1 else 12 * (0.5 - math.log10(rho)))
            losses.append(0.5 * trial.loss(cosine) + doubt * prior)
            lengths.append(length)
    weight = (-torch.stack(losses)).flatten().softmax(0)
    weight = torch.where(weight < _LEAST, 0.0, weight)
    length = torch.stack(lengths).view(*SHAPE[:2], -1)
    return Prototypes(sums, prototypes, length), (weight / weight.sum()).view(SHAPE)


def _judge(
    lessons: Tensor, others: Tensor, sums: Tensor, text: Tensor, label: Tensor
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Of every κ the length [c] of P, and the cosines [n, c] of lessons to P, their own class made of `others`."""
    to_sums, to_text, rows = lessons @ sums.T, lessons @ text.T, torch.arange(len(label), device=label.device)
    for kappa in WORTH:
        length = (sums + kappa * text).norm(dim=-1).clamp(min=1e-6)
        cosine = (to_sums + kappa * to_text) / length
        own = unit(others + kappa * text[label])
        cosine[rows, label] = (lessons * own).sum(-1)
        yield kappa, length, cosine


class _Trial(NamedTuple):
    """Lessons that judge: how likely does a classifier find their classes?"""

    zero_shot: Tensor  # [n, c] logits
    label: Tensor  # [n]
    share: Tensor  # [n]

    def loss(self, cosine: Tensor) -> Tensor:
        """[t, w] summed −log likelihood, where some lessons may be wrong."""
        right = self._log_likelihood(cosine).exp()
        return -(((1 - _WRONG) * right + _WRONG / cosine.shape[1]).log() @ self.share)

    def information(self, cosine: Tensor) -> float:
        """What a classifier tells about the lessons at best, from 0 (no more than chance) to 1 (all)."""
        best = float((self._log_likelihood(cosine) @ self.share).max() / self.share.sum())
        return min(1.0, max(0.0, 1 + best / math.log(max(2, cosine.shape[1]))))

    def are_mistakes(self) -> float:
        """Probability that the lessons were chosen because zero-shot was wrong, a few (3 %) excepted, and not by
        chance, where every accuracy of zero-shot is equally likely; ½ before any lesson.
        """
        n, right = len(self.label), int((self.zero_shot.argmax(1) == self.label).sum())
        by_chance = math.lgamma(right + 1) + math.lgamma(n - right + 1) - math.lgamma(n + 2)
        chosen = right * math.log(0.03) + (n - right) * math.log(0.97)
        return 1 / (1 + math.exp(min(700.0, by_chance - chosen)))

    def _log_likelihood(self, cosine: Tensor) -> Tensor:
        """[t, w, n]."""
        rows, weights = torch.arange(len(self.label), device=cosine.device), cosine.new_tensor(MEANS)[:, None, None]
        found = []
        for t in TEXT:
            logits = t * self.zero_shot + weights * cosine  # [w, n, c]
            found.append(logits[:, rows, self.label] - logits.logsumexp(-1))
        return torch.stack(found)
