"""There is no drift before the reference; it stays small on the same images and grows on others."""

from __future__ import annotations

import numpy
import pytest

from tta_service.telemetry.drift import START, Drift


def images(mean: float, count: int, seed: int = 0) -> numpy.ndarray:
    """Unit features [n, 64] around a direction that is turned by `mean` radians."""
    noise = 0.1 * numpy.random.default_rng(seed).standard_normal((count, 64))
    noise[:, 0] += numpy.cos(mean)
    noise[:, 1] += numpy.sin(mean)
    return noise / numpy.linalg.norm(noise, axis=1, keepdims=True)


def test_there_is_no_drift_before_the_reference_is_complete():
    drift = Drift()
    values = [drift.update("tda", 0.5, feature) for feature in images(0, START + 1)]
    assert values[:START] == [None] * START and values[START] is not None


def test_one_step_away_moves_the_recent_mean_by_its_weight():
    drift, at = Drift(), numpy.zeros(4)
    for _ in range(START):
        drift.update("tda", 0.2, at)
    assert drift.update("tda", 0.2, at) == (0.0, 0.0)
    away = numpy.array([0.0, 3.0, 0.0, 4.0])
    assert drift.update("tda", 1.2, away) == pytest.approx((1 / START, 5 / START))


def test_other_images_are_far_the_same_ones_near():
    drift = Drift()
    for feature in images(0, 20 * START):
        near = drift.update("tda", 0.3, feature)
    for feature in images(1, 20 * START, seed=1):
        far = drift.update("tda", 0.7, feature)
    assert near is not None and far is not None
    assert near[1] < 0.2 < 0.5 < far[1]
    assert far[0] == pytest.approx(0.4, abs=0.01)


def test_each_strategy_has_its_own_drift_and_a_new_model_begins_anew():
    drift = Drift()
    for _ in range(START):
        drift.update("tda", 0.2, numpy.ones(4))
    assert drift.update("zero", 0.2, numpy.ones(4)) is None
    assert drift.update("tda", 0.2, numpy.ones(8)) is None
