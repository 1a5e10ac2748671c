"""Calibrated probabilities of an answer.

The range of the zero-shot logits: Murugesan et al., ECCV 2024, arXiv:2407.13588. A temperature: Guo et al., ICML 2017,
arXiv:1706.04599; here with a prior, because lessons are few. Which logits it divides, the strategy's own, those in the
range of zero-shot's or zero-shot's, is decided by their likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.request import softmax
from .conformal import adapt_miscoverage, threshold

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
SPREAD = 1.0  # scale of the prior of ln T, a Laplace distribution around 0: its tails let many lessons say far more
HOTTEST = 4.0  # ln T
WINDOW = 256  # the last lessons that count, so that those before a change are forgotten


def finite(logits: Numbers) -> Numbers:
    """Logits [..., c] with those of −inf (labels without a vote) at half a share below the least finite one."""
    known = np.isfinite(logits)
    if known.all():
        return logits
    least = np.where(known, logits, np.inf).min(-1, keepdims=True)
    return np.where(known, logits, least - math.log(2))


def zero_shot_range(adapted: Numbers, zero_shot: Numbers) -> Numbers:
    """Adapted logits [c] moved and scaled to the range of the zero-shot logits; their order stays."""
    known = finite(adapted)
    low, high = known.min(), known.max()
    if high == low:
        return zero_shot
    return (known - low) / (high - low) * (zero_shot.max() - zero_shot.min()) + zero_shot.min()


def fit_temperature(logits: Numbers, labels: Labels) -> tuple[float, float]:
    """The most likely temperature given logits [n, c] of pictures of the classes [n] and the prior, and the loss there.

    The loss is the negative logarithm of both, up to a constant. A temperature of 1 without pictures.
    """
    if not len(labels):
        return 1.0, 0.0
    low, high = -HOTTEST, HOTTEST
    for _ in range(3):  # a finer grid each time
        grid = np.linspace(low, high, 17)
        losses = [_loss(logits, labels, log_t) for log_t in grid]
        least = int(np.argmin(losses))
        best, step = float(grid[least]), (high - low) / 16
        low, high = best - step, best + step
    return math.exp(best), losses[least]


def _loss(logits: Numbers, labels: Labels, log_temperature: float) -> float:
    scaled = logits / math.exp(log_temperature)
    scaled = scaled - scaled.max(1, keepdims=True)
    likelihood = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(1))
    return float(abs(log_temperature) / SPREAD - likelihood.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What uniformly drawn lessons say about the answers of one strategy."""

    lessons: int = 0  # uniformly drawn, of a class
    temperature: float = 1.0
    zero_shot: bool = False  # the zero-shot logits tell more about the labels and are used
    scores: Numbers = field(default_factory=lambda: np.empty(0))  # [n] 1 − probability of the label, of those lessons
    covered: tuple[bool, ...] = ()  # whether the sets of later lessons held their labels, oldest first
    in_range: bool = False  # the adapted logits tell more in the range of the zero-shot logits

    def probabilities(self, logits: Numbers, zero_shot: Numbers) -> Numbers:
        """[c] calibrated, given the adapted and the zero-shot logits [c] of an image."""
        if self.zero_shot:
            chosen = zero_shot
        else:
            chosen = zero_shot_range(logits, zero_shot) if self.in_range else finite(logits)
        return softmax(chosen / self.temperature)

    def threshold(self, coverage: float) -> float:
        """The largest 1 − probability of labels in a prediction set; infinite without lessons enough."""
        return threshold(self.scores, adapt_miscoverage(1 - coverage, self.covered))

    @property
    def coverage(self) -> float:
        """The share of later lessons whose set held the label; NaN before there is one."""
        return float(np.mean(self.covered)) if self.covered else math.nan


UNCALIBRATED = Calibration()


def calibrate(logits: Numbers, zero_shot: Numbers, labels: Labels, covered: tuple[bool, ...] = ()) -> Calibration:
    """Learns from lessons about uniformly drawn pictures, oldest first.

    `logits` [n, c] are of a memory that has not learnt the lesson, `zero_shot` [n, c] of the same pictures, `labels`
    [n] what people said, `covered` of those lessons that had a prediction set before they were learnt.
    """
    n, logits = len(labels), finite(logits)
    if not n:
        return UNCALIBRATED
    logits, zero_shot, labels = logits[-WINDOW:], zero_shot[-WINDOW:], labels[-WINDOW:]
    ranged = np.stack([zero_shot_range(one, plain) for one, plain in zip(logits, zero_shot)])
    candidates = {"own": logits, "in range": ranged, "zero-shot": zero_shot}
    fits = {name: fit_temperature(one, labels) for name, one in candidates.items()}
    best = min(fits, key=lambda name: fits[name][1])  # of equal ones the first, the strategy's own
    temperature, _ = fits[best]
    scores = 1 - softmax(candidates[best] / temperature)[np.arange(len(labels)), labels]
    return Calibration(n, temperature, best == "zero-shot", scores, covered, in_range=best == "in range")
