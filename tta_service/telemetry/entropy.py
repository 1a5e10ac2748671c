"""How undecided an answer is."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def relative_entropy(logits: NDArray[Any]) -> float:
    """Entropy of softmax(logits) [c] divided by ln c, 0..1; logits may be −inf, all of them: NaN. One class has none.

    In numpy because it runs on the event loop for each answer, where ten small torch calls would cost five times more.
    """
    if len(logits) == 1:
        return 0.0
    with numpy.errstate(invalid="ignore", divide="ignore"):
        shifted = logits.astype(numpy.float64) - logits.max()
        p = numpy.exp(shifted)
        p /= p.sum()
        p = p[p != 0]  # 0·ln 0 = 0
        return float(-(p * numpy.log(p)).sum() / numpy.log(len(logits)))
