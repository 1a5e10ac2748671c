from __future__ import annotations

import random

import pytest

from tta_service.serving.costs.estimators import Estimate, InterpolatedCost, JacobsonEstimator, UnitCost


def learn(*values: float) -> JacobsonEstimator:
    estimator = JacobsonEstimator()
    for value in values:
        estimator.add(value)
    return estimator


def test_a_constant_duration_is_estimated_exactly():
    assert learn(*[0.2] * 200).estimate.safe == pytest.approx(0.2, rel=1e-3)


def test_without_measurements_the_estimate_is_zero():
    assert JacobsonEstimator().estimate.safe == 0.0


def test_one_outlier_changes_little_and_a_lasting_change_is_followed():
    steady = [0.1, 0.11, 0.09, 0.1] * 10
    assert learn(*steady, 100.0).estimate.likely < 0.12
    assert learn(*steady, *[0.5] * 30).estimate.likely == pytest.approx(0.5, rel=0.05)
    assert learn(*[0.5] * 30, *steady).estimate.likely == pytest.approx(0.1, rel=0.1)


def test_the_upper_estimate_covers_nearly_all_durations():
    draw = random.Random(1)
    values = [draw.lognormvariate(-2.0, 0.3) for _ in range(2000)]
    estimator, covered = learn(*values[:50]), 0
    for value in values[50:]:
        covered += value <= estimator.estimate.safe
        estimator.add(value)
    assert covered / 1950 > 0.97


def test_estimates_add_up_and_their_errors_do_not_all_come_at_once():
    both = Estimate(0.3, 0.03) + Estimate(0.4, 0.04)
    assert (both.likely, both.spread) == pytest.approx((0.7, 0.05))
    assert Estimate(0.1, 0.2).least == 0.0
    assert Estimate(1.0, 0.1).times(3).safe == pytest.approx(3.9)


def test_a_count_never_seen_lies_on_the_line_through_the_nearest_ones():
    curve = UnitCost()
    for _ in range(20):
        curve.add(1, 0.01)
        curve.add(60, 0.005)
    assert curve.of(1).likely == pytest.approx(0.01)
    assert curve.of(64).likely == pytest.approx(64 * 0.005)  # its own size: each one as much as one of 60
    line = 0.01 + (0.32 - 0.01) / 63 * 31
    assert curve.of(32).likely == pytest.approx(line)
    assert curve.of(256).likely == pytest.approx(0.01 + (0.32 - 0.01) / 63 * 255)


def test_what_does_not_get_cheaper_with_the_count_is_found_out_by_trying_once():
    curve = UnitCost()
    for _ in range(5):
        curve.add(64, 1 / 64)
    assert curve.of(32).likely == pytest.approx(0.5)  # one guess is as good as another
    for _ in range(5):
        curve.add(32, 1 / 32)
    assert curve.of(8).likely == curve.of(128).likely == pytest.approx(1.0)


def test_between_measured_sizes_the_estimate_is_linear():
    shape = InterpolatedCost({1: 0.01, 8: 0.03, 16: 0.05})
    assert [shape.at(rows) for rows in (1, 8, 12, 16, 32)] == pytest.approx([0.01, 0.03, 0.04, 0.05, 0.1])
    assert InterpolatedCost({4: 0.04}).at(1) == pytest.approx(0.01)
