"""Sums of lessons: how they are made, made private, and checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from .core.errors import BadRequest
from .core.labels import LabelSet
from .core.lesson_sums import LessonSums, Noise
from .core.lessons import Lesson, SumsRequest
from .core.reducer import Reduction
from .maths import unit

TOLERANCE = 1e-4  # of the lessons, for what float32 rounds off


def sum_up(features: Tensor, label: Tensor, labels: LabelSet, reduction: Reduction | None) -> LessonSums:
    """The sums of lessons with unit features [n, d] and classes [n]."""
    rows, classes = features.double(), len(labels.names)
    sums = torch.zeros(classes, rows.shape[1], dtype=torch.float64).index_add_(0, label, rows)
    return LessonSums(labels, reduction, label.bincount(minlength=classes), sums.float(), (rows.T @ rows).float())


def sum_lessons(
    lessons: Sequence[Lesson], labels: LabelSet, reduction: Reduction | None, request: SumsRequest
) -> LessonSums:
    """The sums of lessons of one label set and reduction, with noise if it is asked for."""
    rows = [unit(lesson.example.views[0].float()) for lesson in lessons]
    label = [labels.names.index(str(lesson.label)) for lesson in lessons]
    features = torch.stack(rows) if rows else torch.zeros(0, request.dimension)
    exact = sum_up(features, torch.tensor(label, dtype=torch.int64), labels, reduction)
    return add_noise(exact, request.noise) if request.noise else exact


def noise_scale(epsilon: float, delta: float) -> float:
    """The least standard deviation of Gaussian noise for (ε, δ)-differential privacy, at a sensitivity of 1.

    Balle and Wang, Improving the Gaussian mechanism for differential privacy, 2018, arXiv:1805.06530, theorem 8:
    Φ(1/2σ − εσ) − e^ε Φ(−1/2σ − εσ) = δ.
    """
    from scipy.optimize import brentq  # a second and 35 MB, for noise alone
    from scipy.special import log_ndtr

    def too_much(log_scale: float) -> float:
        """Logarithm of the left side over δ, which falls as the noise grows."""
        scale = math.exp(log_scale)
        near, far = log_ndtr(0.5 / scale - epsilon * scale), log_ndtr(-0.5 / scale - epsilon * scale)
        share = -math.expm1(min(0.0, float(epsilon + far - near)))
        return max(-1e9, float(near) + math.log(max(share, 1e-300)) - math.log(delta))

    root: Any = brentq(too_much, math.log(1e-3), math.log(1e6), xtol=1e-9)
    return math.exp(root)


def sensitivity(clip: float) -> float:
    """By how much one lesson changes counts, sums and scatter together, with features of norm `clip`; Euclidean.

    The three change by 1, C and C²; of the scatter the upper triangle counts, its off-diagonal entries √2-fold.
    """
    return math.sqrt(1 + clip**2 + clip**4)


def add_noise(exact: LessonSums, noise: Noise, random: Generator | None = None) -> LessonSums:
    """Sums with (ε, δ)-differential privacy for one lesson more or less, by the Gaussian mechanism.

    What no lessons could have summed up to is mended from the noisy values alone, so privacy stays what it was: classes
    that the noise drowns are left out, sums are shortened to what the noise has not lengthened, and the scatter loses
    what noise alone would show. Random numbers come from the system's entropy; nothing is done against attacks on
    floating-point arithmetic (Mironov 2012).
    """
    random = random or default_rng()
    (c, d), clip = exact.sums.shape, noise.clip
    scale = sensitivity(clip) * noise_scale(noise.epsilon, noise.delta)
    counts = exact.counts.double() + scale * _draw(random, c)
    sums = exact.sums.double() + scale / clip * _draw(random, c, d)
    upper = _draw(random, d, d).triu(1) * math.sqrt(0.5)
    scatter = exact.scatter.double() + scale / clip**2 * (upper + upper.T + _draw(random, d).diag())

    added, size = d * (scale / clip) ** 2, sums.square().sum(1)  # squared: what noise alone is long, and the sums are
    significant = size > added * (1 + 4 * math.sqrt(2 / d))  # four standard deviations above that
    sums = sums * torch.where(significant, 1 - added / size, 0.0)[:, None]
    counts = torch.where(significant, counts.maximum(sums.norm(dim=1)).ceil(), 0.0)
    scatter = _mend_scatter(scatter, counts, sums, math.sqrt(2 * d) * scale / clip**2)
    given = noise.epsilon, noise.delta
    return LessonSums(exact.labels, exact.reduction, counts.long(), sums.float(), scatter.float(), *given)


def check_sums(given: LessonSums) -> None:
    """Raises `BadRequest`, with the field, for what no lessons with unit features sum up to."""
    sums, scatter, n = given.sums.double(), given.scatter.double(), int(given.counts.sum())
    if not sums.isfinite().all():
        raise BadRequest("they hold a number that is not finite", "sums")
    if not scatter.isfinite().all():
        raise BadRequest("it holds a number that is not finite", "scatter")
    longer = (sums.norm(dim=1) > given.counts * (1 + TOLERANCE)).nonzero()
    if len(longer):
        worst = int(longer[0])
        sentence = (
            f"row {worst} is longer than {int(given.counts[worst])} lessons with features of unit length add up to"
        )
        raise BadRequest(sentence, "sums")
    if abs(float(scatter.trace()) - n) > TOLERANCE * (n + 1):
        raise BadRequest(
            f"its trace is {float(scatter.trace()):.6g}; {n} features of unit length make it {n}", "scatter"
        )
    within = scatter - _between(given.counts.double(), sums)
    if float(torch.linalg.eigvalsh(within)[0]) < -TOLERANCE * (n + 1):
        raise BadRequest(
            "it is smaller in some direction than the sums make it: within classes it is negative", "scatter"
        )


def _draw(random: Generator, *shape: int) -> Tensor:
    return torch.as_tensor(random.standard_normal(shape, dtype=np.float64))


def _between(counts: Tensor, sums: Tensor) -> Tensor:
    """[d, d] the part of the scatter that class means make."""
    return sums.T @ (sums / counts.clamp(min=1)[:, None])


def _mend_scatter(scatter: Tensor, counts: Tensor, sums: Tensor, noise: float) -> Tensor:
    """A scatter of so many lessons with these sums: within classes without what noise adds, the rest in all directions.

    `noise` is the largest eigenvalue that noise alone would have.
    """
    between = _between(counts, sums)
    values, vectors = torch.linalg.eigh(scatter - between)
    values = (values - noise).clamp(min=0)
    whole = float(counts.sum() - between.trace())
    values = values * min(1.0, whole / max(float(values.sum()), 1e-12))
    values = values + (whole - values.sum()).clamp(min=0) / len(values)
    return (vectors * values) @ vectors.T + between
