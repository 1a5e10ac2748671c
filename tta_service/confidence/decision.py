"""From an answer and its calibration to a confidence, a prediction set and a decision."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.labels import TextSpace
from ..core.request import Scores
from ..core.trust import Decision, Trust, TrustOptions
from .calibration import Calibration, Numbers, finite, softmax, zero_shot_range
from .conformal import prediction_set

NONE_PROBABLE = 0.5  # probability of "none of these" from which that is the decision


def best_cosine(zero_shot: Tensor, text: TextSpace) -> float:
    """Between an image and the nearest text, from the zero-shot logits [c]."""
    return float(zero_shot.max()) / text.scale


def quantile_of(value: float, earlier: Sequence[float]) -> float | None:
    """The share of earlier values, in ascending order, that are lower, equal ones counted half; None without any."""
    if not earlier:
        return None
    lower, upper = bisect_left(earlier, value), bisect_right(earlier, value)
    return lower / len(earlier) + (upper - lower) / len(earlier) / 2


def lowest_admitted(earlier: Sequence[float], below: float) -> float:
    """The value under which the share `below` of the earlier ones lies; −inf where nothing is to be kept out."""
    return float(np.quantile(np.asarray(earlier), below)) if below and len(earlier) else -math.inf


def judge(
    options: TrustOptions,
    calibration: Calibration,
    answer: Scores,
    plain: Scores,
    cosine: float,
    quantile: float | None = None,
    none: float = 0.0,
) -> Trust:
    """How far the answer can be trusted, given plain CLIP's; `none` is the probability that it shows no class."""
    probabilities, label = _probabilities(options, calibration, answer, plain), answer.best
    most = math.inf if options.coverage is None else calibration.threshold(options.coverage)
    guaranteed = math.isfinite(most)
    held = _classes_of(prediction_set(probabilities, most), probabilities) if guaranteed else ()
    confidence = float(probabilities[label])
    deferred = (guaranteed and held != (label,)) or confidence < (options.defer_below or 0.0)
    decision: Decision = "defer" if deferred else "answer"
    if none >= NONE_PROBABLE or (options.none_below is not None and cosine < options.none_below):
        decision = "none_of_these"
    lessons = calibration.lessons if options.draws else 0
    return Trust(confidence, options.calibrate, lessons, cosine, quantile, decision, held, guaranteed)


def _classes_of(inside: NDArray[np.bool_], probabilities: Numbers) -> tuple[int, ...]:
    """Those inside, the most probable first."""
    return tuple(int(one) for one in np.argsort(-probabilities, kind="stable") if inside[one])


def _probabilities(options: TrustOptions, calibration: Calibration, answer: Scores, plain: Scores) -> Numbers:
    if options.draws:
        return calibration.probabilities(answer.logits, plain.logits)
    if options.calibrate == "zero_shot_range":
        return softmax(zero_shot_range(answer.logits, plain.logits))
    return answer.values if np.isfinite(answer.logits).all() else softmax(finite(answer.logits))
