"""Calibrated probabilities of an answer.

The range of the zero-shot logits: Murugesan et al., ECCV 2024, arXiv:2407.13588. A temperature: Guo et al., ICML 2017,
arXiv:1706.04599; here with a prior, because lessons are few. Whether adapted scores rank answers worse than zero-shot's
is decided by the areas under their ROC curves, with the standard error of DeLong et al., Biometrics 1988.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.scores import softmax
from .conformal import adapt_miscoverage, threshold

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
SPREAD = 1.0  # standard deviation of the prior of ln T, whose mean is 0
HOTTEST = 4.0  # ln T
WORSE = 1.0  # standard errors by which adapted scores must rank worse before zero-shot's replace them
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


def fit_temperature(logits: Numbers, labels: Labels) -> float:
    """The most likely temperature given logits [n, c] of pictures of the classes [n] and the prior; 1 without any."""
    if not len(labels):
        return 1.0
    low, high = -HOTTEST, HOTTEST
    for _ in range(3):  # a finer grid each time
        grid = np.linspace(low, high, 17)
        losses = [_loss(logits, labels, log_t) for log_t in grid]
        best, step = float(grid[int(np.argmin(losses))]), (high - low) / 16
        low, high = best - step, best + step
    return math.exp(best)


def _loss(logits: Numbers, labels: Labels, log_temperature: float) -> float:
    scaled = logits / math.exp(log_temperature)
    scaled = scaled - scaled.max(1, keepdims=True)
    likelihood = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(1))
    return float(0.5 * (log_temperature / SPREAD) ** 2 - likelihood.sum())


def ranks_worse(scores: Numbers, others: Numbers, right: NDArray[np.bool_]) -> bool:
    """Whether `scores` [n] tell right answers from wrong ones clearly worse than the `others` do."""
    if right.sum() < 2 or (~right).sum() < 2:
        return False
    of_right, of_wrong = (_placements(others, right)[i] - _placements(scores, right)[i] for i in (0, 1))
    error = math.sqrt(of_right.var(ddof=1) / len(of_right) + of_wrong.var(ddof=1) / len(of_wrong))
    return bool(of_right.mean() > WORSE * error)


def _placements(scores: Numbers, right: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Of each right answer the share of wrong ones below it, of each wrong one that of right ones above it."""
    above = np.sign(scores[right][:, None] - scores[~right][None]) / 2 + 0.5
    return above.mean(1), above.mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What uniformly drawn lessons say about the answers of one strategy."""

    lessons: int = 0  # uniformly drawn, of a class
    temperature: float = 1.0
    zero_shot: bool = False  # the zero-shot probabilities rank answers better and are used
    scores: Numbers = field(default_factory=lambda: np.empty(0))  # [n] 1 − probability of the label, of those lessons
    covered: tuple[bool, ...] = ()  # whether the sets of later lessons held their labels, oldest first

    def probabilities(self, logits: Numbers, zero_shot: Numbers) -> Numbers:
        """[c] calibrated, given the adapted and the zero-shot logits [c] of an image."""
        return softmax((zero_shot if self.zero_shot else finite(logits)) / self.temperature)

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
    rows, best = np.arange(len(labels)), logits.argmax(1)
    of_zero_shot = ranks_worse(softmax(logits).max(1), softmax(zero_shot)[rows, best], best == labels)
    chosen = zero_shot if of_zero_shot else logits
    temperature = fit_temperature(chosen, labels)
    scores = 1 - softmax(chosen / temperature)[rows, labels]
    return Calibration(n, temperature, of_zero_shot, scores, covered)
