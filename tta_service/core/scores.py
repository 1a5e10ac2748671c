"""The scores of an answer: the softmax of its logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Taken in numpy, because it is on the event loop, where ten small torch calls would cost five times more."""

    values: NDArray[np.float64]  # [c] they sum to 1; NaN unless the largest logit is finite
    entropy: float  # nats, with 0 ln 0 = 0
    relative_entropy: float  # divided by ln c: 0 certain, 1 uniform; 0 for one class

    @classmethod
    def of(cls, logits: Tensor) -> Scores:
        """The scores of logits [c], which may be −inf."""
        numbers = logits.detach().double().numpy()
        with np.errstate(invalid="ignore"):
            weights = np.exp(numbers - numbers.max())
        values = weights / weights.sum()
        positive = values[values != 0]
        entropy = float(abs(positive @ np.log(positive)))
        return cls(values, entropy, entropy / math.log(max(2, len(values))))
