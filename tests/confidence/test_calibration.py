"""Calibration by its limits and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tta_service.confidence.calibration import (
    BIAS,
    calibrate,
    finite,
    fit_bias,
    fit_temperature,
    softmax,
    zero_shot_range,
)


def world(n: int, c: int = 10, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large, and labels drawn from the right probabilities."""
    draw = np.random.default_rng(seed)
    logits = 2 * draw.standard_normal((n, c))
    labels = np.array([draw.choice(c, p=one) for one in softmax(logits)])
    return temperature * logits, labels


def test_the_zero_shot_range_keeps_the_order_and_takes_over_the_range() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        adapted, plain = 40 * draw.standard_normal(7), draw.standard_normal(7) + 5
        made = zero_shot_range(adapted, plain)
        assert (made.argsort() == adapted.argsort()).all()
        assert (made.min(), made.max()) == pytest.approx((plain.min(), plain.max()))
        both = zero_shot_range(np.stack([adapted, -adapted]), np.stack([plain, plain]))
        assert (both[0] == made).all() and (both[1].argsort() == adapted.argsort()[::-1]).all()
    assert zero_shot_range(plain, plain) == pytest.approx(plain)
    assert zero_shot_range(np.array([3.0]), np.array([1.0])) == [1.0]


def test_labels_without_a_vote_lie_half_a_share_below_the_least_vote() -> None:
    votes = np.array([3.0, 0.0, 1.0, 0.0])
    with np.errstate(divide="ignore"):
        made = np.exp(finite(np.log(votes / 4)))
    assert made == pytest.approx([3 / 4, 1 / 8, 1 / 4, 1 / 8])
    with np.errstate(divide="ignore"):
        alone = zero_shot_range(np.log(np.array([0.0, 1.0, 0.0])), np.array([1.0, 2.0, 3.0]))
    assert alone == pytest.approx([1, 3, 1])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 10.0])
def test_many_lessons_find_the_temperature(temperature: float) -> None:
    assert fit_temperature(*world(4000, temperature=temperature))[0] == pytest.approx(temperature, rel=0.05)


def test_few_lessons_stay_near_the_prior_and_none_leave_the_scores() -> None:
    logits, labels = 30 * np.eye(3)[[0, 0]], np.array([0, 1])  # sure, and right in every second picture
    few, _ = fit_temperature(logits, labels)
    many, _ = fit_temperature(np.tile(logits, (50, 1)), np.tile(labels, 50))
    assert 1 < few < many
    assert fit_temperature(logits[:0], labels[:0]) == (1.0, 0.0)
    untouched = calibrate(logits[:0], logits[:0], labels[:0])
    assert untouched.probabilities(logits[0], logits[1]) == pytest.approx(softmax(logits[0]))
    assert untouched.lessons == 0 and math.isinf(untouched.threshold(0.9)) and math.isnan(untouched.coverage)


def test_scores_that_say_less_than_zero_shot_give_way_to_it() -> None:
    plain, labels = world(300)
    draw = np.random.default_rng(1)
    vain = 30 * draw.random((300, 1)) * np.eye(10)[plain.argmax(1)]  # the same answers, with noise for confidence
    made = calibrate(vain, plain, labels)
    assert made.share == 0
    assert made.probabilities(vain, plain) == pytest.approx(softmax(plain / made.temperature + made.bias))
    assert calibrate(plain, vain, labels).share == calibrate(plain, plain, labels).share == 1


@pytest.mark.parametrize("in_range", [False, True])
def test_two_views_of_the_same_pictures_that_err_apart_are_mixed(in_range: bool) -> None:
    right, labels = world(300)
    draw = np.random.default_rng(1)
    adapted, plain = (right + 2 * draw.standard_normal(right.shape) for _ in range(2))
    if in_range:
        adapted = adapted * draw.uniform(1, 100, (300, 1))
    made = calibrate(adapted, plain, labels)
    assert (made.share, made.in_range) == (0.5, in_range)
    mixed = (zero_shot_range(adapted, plain) if in_range else adapted) / 2 + plain / 2
    assert made.probabilities(adapted, plain) == pytest.approx(softmax(mixed / made.temperature + made.bias))
    assert np.mean(made.scores) < min(np.mean(calibrate(one, one, labels).scores) for one in (adapted, plain))


def test_a_class_that_is_answered_too_often_is_believed_less() -> None:
    right, labels = world(256)
    vain = right + 3 * np.eye(10)[0]  # the first class collects what the others lose
    few, many = (calibrate(vain[:n], vain[:n], labels[:n]) for n in (20, 256))
    assert many.bias[0] < few.bias[0] < 0 < many.bias[1:].mean()
    of_first = np.stack([few.probabilities(vain, vain), many.probabilities(vain, vain)])[:, :, 0].mean(1)
    assert softmax(vain)[:, 0].mean() > of_first[0] > of_first[1] > (labels == 0).mean()


def test_biases_are_the_most_likely_ones() -> None:
    logits, labels = world(40)
    bias = fit_bias(logits, labels)
    slope = np.bincount(labels, minlength=10) - softmax(logits + bias).sum(0) - bias / BIAS**2
    assert abs(slope).max() < 1e-3
    assert (fit_bias(np.zeros((4, 2)), np.array([0, 1, 0, 1])) == 0).all()


def test_logits_of_another_scale_in_every_picture_are_brought_to_the_range_of_zero_shot() -> None:
    right, labels = world(300)
    plain = np.take_along_axis(right, np.random.default_rng(1).permuted(np.tile(np.arange(10), (300, 1)), axis=1), 1)
    wild = right * np.random.default_rng(2).uniform(1, 100, (300, 1))  # the order stays, the range does not
    made = calibrate(wild, plain, labels)
    assert made.in_range and made.share == 1
    ranged = zero_shot_range(wild[0], plain[0])
    assert made.probabilities(wild[0], plain[0]) == pytest.approx(softmax(ranged / made.temperature + made.bias))
    assert np.mean(made.scores) < np.mean(calibrate(wild, wild, labels).scores)  # where no such range is known


def test_calibrated_probabilities_are_right_as_often_as_they_say() -> None:
    logits, labels = world(400, temperature=6.0)
    made = calibrate(logits, logits, labels)
    new, truth = world(4000, temperature=6.0, seed=9)
    p = np.stack([made.probabilities(one, one) for one in new])
    assert p.max(1).mean() == pytest.approx((p.argmax(1) == truth).mean(), abs=0.03)
