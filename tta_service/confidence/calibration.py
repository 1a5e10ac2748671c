"""Calibrated probabilities of an answer.

The range of the zero-shot logits: Murugesan et al., ECCV 2024, arXiv:2407.13588. A temperature: Guo et al., ICML 2017,
arXiv:1706.04599, section 4.2, which has a bias of each class, too; here with priors, because lessons are few. Which
logits it divides is decided by their likelihood: the strategy's own, those in the range of zero-shot's, zero-shot's, or
those half way between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..core.request import softmax
from .conformal import adapt_miscoverage, threshold

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
SPREAD = 1.0  # scale of the prior of ln T, a Laplace distribution around 0: its tails let many lessons say far more
HOTTEST = 4.0  # ln T
SHARES = (1.0, 0.5)  # of the adapted logits in those that are divided; the rest is zero-shot's
BIAS = 0.25  # standard deviation of the prior of a class's bias, a normal distribution around 0
STEPS = 50  # towards the biases
WINDOW = 256  # the last lessons that count, so that those before a change are forgotten


def finite(logits: Numbers) -> Numbers:
    """Logits [..., c] with those of −inf (labels without a vote) at half a share below the least finite one."""
    known = np.isfinite(logits)
    if known.all():
        return logits
    least = np.where(known, logits, np.inf).min(-1, keepdims=True)
    return np.where(known, logits, least - math.log(2))


def zero_shot_range(adapted: Numbers, zero_shot: Numbers) -> Numbers:
    """Adapted logits [..., c] moved and scaled to the range of the zero-shot logits of the same image.

    Their order stays; where all are equal, the zero-shot logits stand for them.
    """
    known = finite(adapted)
    low, width = known.min(-1, keepdims=True), np.ptp(known, -1, keepdims=True)
    least, range_ = zero_shot.min(-1, keepdims=True), np.ptp(zero_shot, -1, keepdims=True)
    moved = (known - low) / np.where(width, width, 1) * range_ + least
    return np.where(width, moved, zero_shot)


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


def fit_bias(logits: Numbers, labels: Labels) -> Numbers:
    """The most likely bias [c] of each class given logits [n, c] of pictures of the classes [n] and the prior."""
    said = np.bincount(labels, minlength=logits.shape[1])
    bias = np.zeros(logits.shape[1])
    for _ in range(STEPS):  # Newton's with an upper bound of the curvature, so that no step goes too far
        expected = softmax(logits + bias).sum(0)
        bias += (said - expected - bias / BIAS**2) / (expected + 1 / BIAS**2)
    return bias


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What uniformly drawn lessons say about the answers of one strategy."""

    lessons: int = 0  # uniformly drawn, of a class
    temperature: float = 1.0
    share: float = 1.0  # of the adapted logits; the rest is zero-shot's
    in_range: bool = False  # the adapted logits tell more in the range of the zero-shot logits
    bias: Numbers = field(default_factory=lambda: np.empty(0))  # [c], added to the divided logits; empty for none
    scores: Numbers = field(default_factory=lambda: np.empty(0))  # [n] 1 − probability of the label, of those lessons
    covered: tuple[bool, ...] = ()  # whether the sets of later lessons held their labels, oldest first

    def probabilities(self, logits: Numbers, zero_shot: Numbers) -> Numbers:
        """[..., c] calibrated, given the adapted and the zero-shot logits [..., c] of images."""
        divided = _mix(logits, zero_shot, self.in_range, self.share) / self.temperature
        return softmax(divided + self.bias if len(self.bias) else divided)

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
    n = len(labels)
    if not n:
        return UNCALIBRATED
    logits, zero_shot, labels = logits[-WINDOW:], zero_shot[-WINDOW:], labels[-WINDOW:]
    forms = [(in_range, share) for in_range in (False, True) for share in SHARES] + [(False, 0.0)]
    fits = {form: fit_temperature(_mix(logits, zero_shot, *form), labels) for form in forms}
    in_range, share = min(fits, key=lambda form: fits[form][1])  # of equal ones the first, the strategy's own
    temperature, _ = fits[in_range, share]
    bias = fit_bias(_mix(logits, zero_shot, in_range, share) / temperature, labels)
    made = Calibration(n, temperature, share, in_range, bias, covered=covered)
    scores = 1 - made.probabilities(logits, zero_shot)[np.arange(len(labels)), labels]
    return replace(made, scores=scores)


def _mix(logits: Numbers, zero_shot: Numbers, in_range: bool, share: float) -> Numbers:
    if not share:
        return zero_shot
    chosen = zero_shot_range(logits, zero_shot) if in_range else finite(logits)
    return chosen if share == 1 else share * chosen + (1 - share) * zero_shot
