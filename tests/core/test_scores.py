from __future__ import annotations

import math

import pytest
import torch

from tta_service.core.request import Scores


@pytest.mark.parametrize(
    "logits, relative", [([0.0] * 7, 1.0), ([1e4, 0.0, 0.0], 0.0), ([3.0], 0.0), ([-math.inf, 2.0, 2.0], 0.631)]
)
def test_relative_entropy_runs_from_certain_to_uniform(logits: list[float], relative: float):
    scores = Scores.of(torch.tensor(logits))
    assert scores.relative_entropy == pytest.approx(relative, abs=1e-3)
    assert scores.values.sum() == pytest.approx(1)
    if len(logits) > 1:
        assert scores.entropy == pytest.approx(scores.relative_entropy * math.log(len(logits)))


@pytest.mark.parametrize("logits", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_what_is_no_answer_has_no_entropy(logits: list[float]):
    assert math.isnan(Scores.of(torch.tensor(logits)).entropy)
