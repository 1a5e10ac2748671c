"""The scores of an answer: the softmax of its logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Taken in numpy, because it is on the event loop, where ten small torch calls would cost five times more."""

    logits: NDArray[np.float64]  # [c]
    best: int  # class with the largest logit, of equal ones the first
    values: NDArray[np.float64]  # [c] they sum to 1; NaN unless the largest logit is finite
    entropy: float  # nats, with 0 ln 0 = 0
    relative_entropy: float  # divided by ln c: 0 certain, 1 uniform; 0 for one class

    @classmethod
    def of(cls, logits: Tensor) -> Scores:
        """The scores of logits [c], which may be −inf."""
        numbers = logits.detach().double().numpy()
        with np.errstate(invalid="ignore"):
            values = softmax(numbers)
        positive = values[values != 0]
        entropy = float(abs(positive @ np.log(positive)))
        return cls(numbers, int(numbers.argmax()), values, entropy, entropy / math.log(max(2, len(values))))
