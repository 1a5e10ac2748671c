"""Conformal prediction: its finite-sample coverage, its limits, and what adapts it to a world that changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import betabinom

from tta_service.confidence.conformal import adapt_miscoverage, prediction_set, threshold


def test_with_too_few_scores_there_is_no_threshold() -> None:
    assert math.isinf(threshold(np.arange(8.0), 0.1)) and threshold(np.arange(9.0), 0.1) == 8
    assert threshold(np.arange(9.0), 1.0) == -math.inf
    assert prediction_set(np.array([0.9, 0.1]), math.inf).all() and not prediction_set(np.array([1.0]), -math.inf).any()


@pytest.mark.parametrize("n", [9, 40, 200])
def test_new_scores_stay_below_the_threshold_as_often_as_asked(n: int) -> None:
    draw, draws, later = np.random.default_rng(n), 400, 200
    rank = math.ceil((n + 1) * 0.9)
    low, high = betabinom(later, rank, n + 1 - rank).interval(0.95)
    held = np.array([(draw.random(later) <= threshold(draw.random(n), 0.1)).sum() for _ in range(draws)])
    assert held.mean() / later == pytest.approx(rank / (n + 1), abs=0.015)
    assert ((low <= held) & (held <= high)).mean() > 0.9


def test_the_long_run_share_is_held_while_the_world_changes() -> None:
    draw = np.random.default_rng(0)
    known, covered = draw.random(200), list[bool]()
    scores = np.concatenate([draw.random(500), 0.7 + draw.random(1500)])  # all at once higher
    for score in scores:
        covered.append(bool(score <= threshold(known, adapt_miscoverage(0.1, covered))))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)
    assert np.mean(scores <= threshold(known, 0.1)) < 0.6  # which a fixed threshold would hold


def test_a_miss_asks_for_more_and_a_hit_for_a_little_less() -> None:
    assert adapt_miscoverage(0.1, []) == 0.1
    assert adapt_miscoverage(0.1, [False]) == pytest.approx(0.1 - 0.005 * 0.9)
    assert adapt_miscoverage(0.1, [True]) == pytest.approx(0.1 + 0.005 * 0.1)
    assert adapt_miscoverage(0.1, [True] * 9 + [False]) == pytest.approx(0.1)
