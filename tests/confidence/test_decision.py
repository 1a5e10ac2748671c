"""What follows from an answer and its calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service.confidence.calibration import Calibration
from tta_service.confidence.decision import judge, lowest_admitted, quantile_of
from tta_service.core.request import Scores
from tta_service.core.trust import TrustOptions

SURE = Scores.of(torch.tensor([4.0, 0.0, 0.0]))
UNSURE = Scores.of(torch.tensor([0.1, 0.0, -3.0]))
KNOWN = Calibration(lessons=20, scores=np.linspace(0, 0.6, 20))


@pytest.mark.parametrize(
    ("options", "answer", "decision"),
    [
        (TrustOptions(), UNSURE, "answer"),
        (TrustOptions(defer_below=0.9), SURE, "answer"),
        (TrustOptions(defer_below=0.9), UNSURE, "defer"),
        (TrustOptions(coverage=0.9), SURE, "answer"),
        (TrustOptions(coverage=0.9), UNSURE, "defer"),
        (TrustOptions(coverage=0.9), Scores.of(torch.zeros(3)), "defer"),
        (TrustOptions(none_below=0.4), SURE, "none_of_these"),
        (TrustOptions(none_below=0.2), SURE, "answer"),
        (TrustOptions(none_below=0.4, defer_below=0.9), UNSURE, "none_of_these"),
    ],
)
def test_decisions(options: TrustOptions, answer: Scores, decision: str) -> None:
    assert judge(options, KNOWN, answer, answer, cosine=0.3).decision == decision


def test_without_lessons_enough_there_is_no_set_and_nothing_is_deferred() -> None:
    few = Calibration(lessons=8, scores=np.linspace(0, 0.6, 8))
    given = judge(TrustOptions(coverage=0.9), few, UNSURE, UNSURE, 0.3)
    assert (given.decision, given.prediction_set, given.guaranteed, given.lessons) == ("answer", (), False, 8)
    assert judge(TrustOptions(coverage=0.8), few, UNSURE, UNSURE, 0.3).guaranteed


def test_lessons_that_say_none_of_these_decide_at_even_odds() -> None:
    assert judge(TrustOptions(), KNOWN, SURE, SURE, 0.3, none=0.49).decision == "answer"
    assert judge(TrustOptions(), KNOWN, SURE, SURE, 0.3, none=0.5).decision == "none_of_these"


def test_the_most_probable_label_comes_first_in_a_set() -> None:
    given = judge(TrustOptions(coverage=0.9), KNOWN, UNSURE, UNSURE, 0.3)
    assert given.prediction_set == (0, 1) and given.guaranteed and given.method == "none"


def test_quantiles_of_what_came_before() -> None:
    assert quantile_of(0.5, []) is None
    assert [quantile_of(value, [1.0, 2.0, 2.0, 3.0]) for value in (0, 1, 2, 4)] == [0.0, 0.125, 0.5, 1.0]
    assert lowest_admitted([1.0, 2.0, 3.0], 0.5) == 2.0
    assert lowest_admitted([1.0], 0.0) == lowest_admitted([], 0.5) == -np.inf
