"""Prediction sets that hold the right label as often as was asked for.

Split conformal prediction with the score 1 − probability: Sadinle et al., JASA 2019, arXiv:1609.00451. Adaptive
conformal inference, which holds the long-run share while the world changes: Gibbs and Candès, NeurIPS 2021,
arXiv:2106.00170.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RATE = 0.005  # of adaptive conformal inference, as in the paper


def threshold(scores: Numbers, miscoverage: float) -> float:
    """What a new score stays below with probability 1 − `miscoverage`, given exchangeable earlier ones [n].

    The ⌈(n + 1)(1 − miscoverage)⌉-th smallest; infinite where there are fewer, −inf for a miscoverage of 1 or more.
    Nine scores are enough for a miscoverage of 0.1.
    """
    rank = math.ceil((len(scores) + 1) * (1 - miscoverage) - 1e-9)
    if rank > len(scores):
        return math.inf
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank > 0 else -math.inf


def prediction_set(probabilities: Numbers, most: float) -> NDArray[np.bool_]:
    """[c] which labels are in the set, given the threshold `most`."""
    return 1 - probabilities <= most


def adapt_miscoverage(target: float, covered: Iterable[bool], rate: float = RATE) -> float:
    """The miscoverage to ask for, after sets that held the label or did not, oldest first."""
    asked = target
    for held in covered:
        asked += rate * (target - (not held))
    return asked
