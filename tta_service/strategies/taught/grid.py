"""The classifiers among which `taught` chooses, and how well each foretells the lessons.

A classifier is z = t · zero-shot logits + w · unit(x − m) · P. Its prototypes P know the lessons of a class, the text,
which counts for κ lessons, and the frames that nobody labelled, all centred and of unit length: either as unit sums
(class means), or as the examples of a ridge regression to the classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...maths import unit
from .lessons import Elsewhere, Lessons
from .ridge import Ridge

TEXT = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0)  # t
MEANS = (0.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)  # w
WORTH = (0.3, 0.8, 2.0, 5.0, 12.0, 30.0)  # κ: so many lessons the text is worth
SHAPE = 2, len(WORTH), len(TEXT), len(MEANS)  # class means, then ridge

_IN_MEANS = 0.3  # of the frames' worth in a ridge: self-training makes class means too sure
_ROUNDS = 2  # in which frames are labelled
_WRONG = 0.001  # share of the lessons that may be wrong
_SCALE = 4.0  # nats by which a single lesson leaves zero-shot its own scale
_JUDGED = 512  # lessons that choose; all of them make the prototypes
_LEAST = 1e-3  # classifiers of less weight are dropped


class Choice(NamedTuple):
    """What `choose` found."""

    prototypes: Prototypes
    weight: Tensor  # [2, k, t, w] of every classifier; they sum to 1
    pull: Tensor  # [n] what a lesson adds to the score of its class, by its cosine to the image; nats
    likeness: Tensor  # [n] of a lesson to the class mean that is most like it, its moment left out


class Prototypes(NamedTuple):
    """P of every classifier: for class means the sums and the text, whose unit sum it is, else P itself."""

    sums: Tensor  # [c, d + 1]
    text: Tensor  # [c, d + 1]
    length: Tensor  # [k, c] of sums + κ · text
    ridge: Tensor  # [k, c, d + 1]

    def cosines(self, placed: Tensor) -> Tensor:
        """[n, d + 1] rows of `place` to [2, k, n, c] scores."""
        means = placed @ self.sums.T + placed.new_tensor(WORTH)[:, None, None] * (placed @ self.text.T)
        return torch.stack([means / self.length[:, None], placed @ self.ridge.mT])


def choose(
    lessons: Lessons,
    other: Elsewhere,
    zero_shot: Tensor,
    text: Tensor,
    sureness: float,
    frames: Tensor,
    frame_logits: Tensor,
    frame_share: Tensor,
) -> Choice:
    """The prototypes and the weight of every classifier, from the lessons' zero-shot logits [n, c].

    A lesson is judged without those of its moment. The likelihood counts half, because judgements that share lessons
    depend on each other. What it leaves open is decided by a prior that fades as lessons come: w near 10, and κ from ½,
    where the text tells nothing about the lessons, to 64. Lessons that are only zero-shot's mistakes tell nothing about
    the text; then its mean probability of the best class over all frames, `sureness`, does. The first lessons
    also prefer classifiers that keep zero-shot's logits as they are (t = 1).

    Then the frames [f, d], which have zero-shot logits [f, c] and count by their share, join the prototypes of the
    classes that the classifiers give them, each as so large a part of a lesson as these tell about lessons that they do
    not know.
    """
    counted = torch.zeros(len(text), device=text.device).index_add_(0, lessons.label, lessons.share)
    judgeable = (counted > 0) & (counted + other.count > 1.5)
    several = float(judgeable.float().mean())  # share of the classes that can be judged at all
    doubt = 1 / (1 + several * float(lessons.share.sum()) / 16)
    judged = torch.linspace(0, len(lessons.label) - 1, min(_JUDGED, len(lessons.label)), device=text.device).long()
    trial = _Trial(zero_shot[judged], lessons.label[judged], lessons.share[judged])
    known = max(trial.information(lessons.at[judged] @ text.T), trial.are_mistakes() * sureness**2)
    prior_text = (text.new_tensor(WORTH).log2() + 1 - 7 * known).square()
    prior_means = (text.new_tensor(MEANS).add(1).log() - math.log(11)).square()
    taught = (lessons.share.sum() + other.count.sum()).clamp(min=1)
    prior_scale = _SCALE / taught * (1 - text.new_tensor(TEXT))
    prior = doubt * (prior_text[:, None, None] + prior_means) + prior_scale[:, None]  # [k, t, w]
    held_out = torch.stack([_means_without(lessons, other, text), _ridge_without(lessons, other, text)])  # [2, k, n, c]
    likely = torch.stack([trial.log_likelihood(one) for one in held_out[:, :, judged].flatten(0, 1)]).view(*SHAPE, -1)
    weight = (0.5 * trial.robust(likely) - prior).flatten().softmax(0)
    weight = torch.where(weight < _LEAST, 0.0, weight)
    weight = (weight / weight.sum()).view(SHAPE)
    worth = max(trial.skill((weight[..., None] * likely.exp()).sum((0, 1, 2, 3)).log()), (1 - doubt) / 2)
    prototypes, pull = _prototypes(lessons, other, text, torch.zeros_like(text))
    for _ in range(_ROUNDS if len(frames) else 0):
        p = frame_share[:, None] * mean_probability(weight, frame_logits, prototypes.cosines(frames))
        prototypes, pull = _prototypes(lessons, other, text, worth * p.T @ frames)
    scores = weight.sum(2) @ text.new_tensor(MEANS)  # [2, k]
    return Choice(prototypes, weight, (scores[..., None] * pull).sum((0, 1)), likest_mean(weight, held_out))


def likest_mean(weight: Tensor, cosines: Tensor) -> Tensor:
    """[n] likeness to the class mean that is most like an image, from cosines [2, k, n, c]."""
    return torch.einsum("k,knc->nc", weight.sum((0, 2, 3)), cosines[0]).amax(-1)


def mean_probability(weight: Tensor, zero_shot: Tensor, cosines: Tensor) -> Tensor:
    """[n, c] over the classifiers of weight [2, k, t, w], from logits [n, c] and cosines [2, k, n, c]."""
    part, k, t, w = weight.nonzero(as_tuple=True)
    text, means = zero_shot.new_tensor(TEXT)[t, None], zero_shot.new_tensor(MEANS)[w, None]
    rows = [
        weight[part, k, t, w] @ (text * zero_shot[i] + means * cosines[part, k, i]).softmax(-1)
        for i in range(len(zero_shot))
    ]
    return torch.stack(rows)


def _prototypes(lessons: Lessons, other: Elsewhere, text: Tensor, frames: Tensor) -> tuple[Prototypes, Tensor]:
    """From the lessons, the text and the frames, whose sums [c, d] are given; and [2, k, n] the pull of lessons."""
    sums = other.sums.index_add(0, lessons.label, lessons.share[:, None] * lessons.at)
    sums = sums + _IN_MEANS * frames
    length = torch.stack([(sums + kappa * text).norm(dim=-1).clamp(min=1e-6) for kappa in WORTH])
    ridges = [Ridge(lessons, other, kappa * text, frames) for kappa in WORTH]
    pull = torch.stack([lessons.share / length[:, lessons.label], torch.stack([one.pull() for one in ridges])])
    return Prototypes(sums, text, length, torch.stack([one.rows for one in ridges])), pull


def _means_without(lessons: Lessons, other: Elsewhere, text: Tensor) -> Tensor:
    """[k, n, c] cosines of lessons to class means, their own class without their moment."""
    at, label, moment, share = lessons
    weighed = share[:, None] * at
    sums = other.sums.index_add(0, label, weighed)
    _, which = moment.unique(return_inverse=True)
    others = sums[label] - torch.zeros_like(at).index_add_(0, which, weighed)[which]
    found, rows = [], torch.arange(len(label), device=at.device)
    for kappa in WORTH:
        cosine = at @ unit(sums + kappa * text).T
        cosine[rows, label] = (at * unit(others + kappa * text[label])).sum(-1)
        found.append(cosine)
    return torch.stack(found)


def _ridge_without(lessons: Lessons, other: Elsewhere, text: Tensor) -> Tensor:
    """[k, n, c] scores of lessons by ridge regressions that have not seen their moment."""
    return torch.stack([Ridge(lessons, other, kappa * text).left_out() for kappa in WORTH])


class _Trial(NamedTuple):
    """Lessons that judge: how likely does a classifier find their classes?"""

    zero_shot: Tensor  # [n, c] logits
    label: Tensor  # [n]
    share: Tensor  # [n]

    def log_likelihood(self, cosine: Tensor) -> Tensor:
        """[t, w, n] from scores [n, c]."""
        rows, weights = torch.arange(len(self.label), device=cosine.device), cosine.new_tensor(MEANS)[:, None, None]
        found = []
        for t in TEXT:
            logits = t * self.zero_shot + weights * cosine  # [w, n, c]
            found.append(logits[:, rows, self.label] - logits.logsumexp(-1))
        return torch.stack(found)

    def robust(self, likely: Tensor) -> Tensor:
        """[…, n] log-likelihoods summed, where some lessons may be wrong."""
        return ((1 - _WRONG) * likely.exp() + _WRONG / self.zero_shot.shape[1]).log() @ self.share

    def skill(self, likely: Tensor) -> float:
        """What log-likelihoods [n] tell about the lessons, from 0 (no more than chance) to 1 (all)."""
        if not len(self.share):
            return 0.0
        mean = float(likely.clamp(min=math.log(1e-6)) @ self.share / self.share.sum())
        return min(1.0, max(0.0, 1 + mean / math.log(max(2, self.zero_shot.shape[1]))))

    def information(self, cosine: Tensor) -> float:
        """What the best of the classifiers with these scores tells."""
        likely = self.log_likelihood(cosine).flatten(0, 1)
        return self.skill(likely[(likely @ self.share).argmax()])

    def are_mistakes(self) -> float:
        """Probability that the lessons were chosen because zero-shot was wrong, a few (3 %) excepted, and not by
        chance, where every accuracy of zero-shot is equally likely; ½ before any lesson.
        """
        n, right = float(self.share.sum()), float(self.share @ (self.zero_shot.argmax(1) == self.label).float())
        by_chance = math.lgamma(right + 1) + math.lgamma(n - right + 1) - math.lgamma(n + 2)
        chosen = right * math.log(0.03) + (n - right) * math.log(0.97)
        return 1 / (1 + math.exp(min(700.0, by_chance - chosen)))
