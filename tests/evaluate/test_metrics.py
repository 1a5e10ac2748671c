"""What a run is worth, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tta_service.evaluate import metrics
from tta_service.evaluate.runs import Run


def run(scores: list[list[float]], label: list[int], zero_shot: list[int]) -> Run:
    count = len(label)
    whole = np.array(scores, np.float32)
    return Run(
        np.arange(count), np.array(label), whole, np.array(zero_shot), np.zeros(count, np.float32), np.ones(count, int)
    )


def test_hits_count_the_best_and_break_ties_by_the_order_of_the_classes():
    said = run([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3]], [0, 1, 2], [0, 0, 2])
    assert metrics.hits(said).tolist() == [1, 0, 0]
    assert metrics.hits(said, 2).tolist() == [1, 1, 0]
    assert metrics.zero_shot_hits(said).tolist() == [1, 0, 1]


def test_calibration_error_of_bins_known_by_hand():
    scores = np.array([[0.91, 0.09], [0.93, 0.07], [0.62, 0.38], [0.64, 0.36]])
    labels = np.array([0, 1, 0, 0])  # 0.9 … 0.95: half right at 0.92; 0.6 … 0.65: all right at 0.63
    assert metrics.calibration_error(scores, labels) == pytest.approx(0.5 * 0.42 + 0.5 * 0.37)


def test_bins_are_closed_above_and_certainty_is_in_the_last():
    scores = np.array([[0.95, 0.05], [1.0, 0.0]])
    assert [share for _, _, share in metrics.reliability(scores, np.array([0, 0]))] == [0.5, 0.5]
    assert metrics.reliability(np.array([[0.9501, 0.0499], [1.0, 0.0]]), np.array([0, 0])) == [
        (pytest.approx(0.97505), 1.0, 1.0)
    ]


def test_a_calibrated_stream_has_no_error_and_an_overconfident_one_has():
    draw = np.random.default_rng(0)
    sure = draw.uniform(0.5, 1, 40_000)
    scores = np.stack([sure, 1 - sure], 1)
    labels = (draw.random(len(sure)) > sure).astype(int)
    assert metrics.calibration_error(scores, labels) < 0.01
    boast = np.stack([np.full(len(sure), 0.99), np.full(len(sure), 0.01)], 1)
    assert metrics.calibration_error(boast, labels) == pytest.approx(0.24, abs=0.01)


def test_a_probability_of_zero_costs_the_floor():
    scores = np.array([[1.0, 0.0], [0.25, 0.75]])
    costs = metrics.negative_log_likelihood(scores, np.array([1, 0]))
    assert costs.tolist() == pytest.approx([-np.log(1e-6), np.log(4)])
    assert metrics.entropy(scores).tolist() == pytest.approx([0, 0.5623351446])


def test_orders_add_their_own_chance():
    same = np.array([[1.0, 0, 1, 0]] * 3)
    mean, error = metrics.over_orders(same)
    assert (mean, error) == (0.5, pytest.approx(np.std([1, 0, 1, 0], ddof=1) / 2))
    apart = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    assert metrics.over_orders(apart) == (0.5, pytest.approx(0.5))
    assert metrics.over_orders(np.array([[1.0]])) == (1.0, 0.0)


def test_blocks_that_move_together_have_a_larger_error_than_as_many_single_frames():
    draw = np.random.default_rng(1)
    values = np.repeat(draw.normal(size=50), 16)
    apart = metrics.block_error(values, np.arange(800))
    together = metrics.block_error(values, np.repeat(np.arange(50), 16))
    assert together == pytest.approx(values.reshape(50, 16)[:, 0].std(ddof=1) / np.sqrt(50), rel=0.15)
    assert together == pytest.approx(4 * apart, rel=0.2)
    assert np.isnan(metrics.block_error(values[:16], np.zeros(16, int)))


def test_runs_come_back_from_their_file_in_either_order(tmp_path):
    said = run([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], [0, 1, 0])
    shuffled = Run(**{name: getattr(said, name)[[2, 0, 1]] for name in Run.__dataclass_fields__})
    shuffled.save(tmp_path / "folder" / "run.npz")
    found = Run.load(tmp_path / "folder" / "run.npz")
    assert found.picture.tolist() == [2, 0, 1]
    assert found.by_picture().scores.tolist() == said.scores.tolist()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["run.npz"]
