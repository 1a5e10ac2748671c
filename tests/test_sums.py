"""Sums of lessons: how much noise keeps them private, that all that is told could be of lessons, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import norm

from tta_service.core.errors import BadRequest
from tta_service.core.labels import LabelSet
from tta_service.core.lesson_sums import LessonSums, Noise
from tta_service.maths import unit
from tta_service.sums import add_noise, check_sums, noise_scale, sensitivity, sum_up


def world(classes: int, each: int, d: int = 16, seed: int = 0) -> LessonSums:
    """Sums of lessons whose classes have directions of their own."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(classes).repeat(each)
    rows = torch.randn(classes, d, generator=draw)[label] + 0.3 * torch.randn(len(label), d, generator=draw)
    return sum_up(unit(rows), label, LabelSet(tuple(f"class {i}" for i in range(classes))), None)


@settings(max_examples=50, deadline=None)
@given(some.floats(1e-3, 100.0), some.floats(-15, -1))
def test_the_noise_is_just_enough_for_the_privacy_that_is_stated(epsilon: float, exponent: float) -> None:
    delta = 10**exponent
    scale = noise_scale(epsilon, delta)

    def lost(
        s: float,
    ) -> float:  # the exact δ of a Gaussian at ε; tails in logarithms, because e^ε overflows nothing so
        far = math.exp(epsilon + norm.logcdf(-0.5 / s - epsilon * s))
        return float(norm.cdf(0.5 / s - epsilon * s) - far)

    assert lost(scale) == pytest.approx(delta, rel=1e-3, abs=1e-15)
    assert lost(0.99 * scale) > delta > lost(1.01 * scale)


def test_the_noise_is_that_of_the_paper() -> None:
    assert noise_scale(1.0, 1e-5) == pytest.approx(3.7306, abs=1e-3)
    assert noise_scale(0.1, 1e-5) < math.sqrt(2 * math.log(1.25 / 1e-5)) / 0.1  # less than of the classical mechanism


@pytest.mark.parametrize("clip", [0.1, 0.5, 1.0])
def test_one_lesson_more_changes_no_more_than_the_sensitivity(clip: float) -> None:
    feature = clip * unit(torch.randn(40, generator=torch.Generator().manual_seed(1)).double())
    upper = torch.outer(feature, feature)[tuple(torch.triu_indices(40, 40))]
    weight = torch.where(torch.eye(40)[tuple(torch.triu_indices(40, 40))] > 0, 1.0, math.sqrt(2))
    change = torch.cat([torch.ones(1, dtype=torch.float64), feature, upper * weight])
    assert float(change.norm()) == pytest.approx(sensitivity(clip))


def test_noise_has_the_stated_size_in_every_part() -> None:
    """Read where it shows alone: from sums so large that nothing is mended, as differences to the exact ones."""
    exact, noise = world(30, 4000, d=24), Noise(1.0, 1e-5, clip=0.8)
    scale = sensitivity(0.8) * noise_scale(1.0, 1e-5)
    noisy = add_noise(exact, noise, np.random.default_rng(0))
    sums = (noisy.sums - exact.sums).double()
    assert float(sums.std()) == pytest.approx(scale / 0.8, rel=0.1)
    assert float((noisy.counts - exact.counts).double().std()) == pytest.approx(scale, rel=0.5)
    assert (noisy.epsilon, noisy.delta) == (1.0, 1e-5)
    assert not torch.equal(noisy.sums, add_noise(exact, noise).sums)  # nobody draws the same again


@settings(max_examples=25, deadline=None)
@given(
    some.integers(1, 5), some.integers(0, 40), some.floats(0.01, 50.0), some.floats(0.05, 1.0), some.integers(0, 1000)
)
def test_whatever_the_noise_the_sums_could_be_of_lessons(
    classes: int, each: int, epsilon: float, clip: float, seed: int
) -> None:
    exact = world(classes, each, seed=seed)
    check_sums(exact)
    noisy = add_noise(exact, Noise(epsilon, 1e-6, clip), np.random.default_rng(seed))
    check_sums(noisy)
    assert (noisy.counts >= 0).all()


def test_classes_that_the_noise_drowns_are_left_out_and_others_keep_their_direction() -> None:
    many, few = world(3, 2000), world(3, 2)
    noise = Noise(1.0, 1e-5)
    noisy = add_noise(many, noise, np.random.default_rng(1))
    assert (torch.cosine_similarity(noisy.sums, many.sums) > 0.99).all()
    assert ((noisy.counts - many.counts).abs() < 100).all()
    assert int(add_noise(few, noise, np.random.default_rng(1)).counts.sum()) == 0


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"sums": torch.full((3, 16), math.nan)}, "sums", "not finite"),
        ({"sums": torch.full((3, 16), math.inf)}, "sums", "not finite"),
        ({"scatter": torch.full((16, 16), math.nan)}, "scatter", "not finite"),
        ({"sums": torch.full((3, 16), 1e30)}, "sums", "row 0 is longer than 5 lessons"),
        ({"counts": torch.tensor([5, 4, 5])}, "sums", "row 1 is longer than 4 lessons"),
        ({"counts": torch.tensor([5, 6, 5])}, "scatter", "its trace is 15; 16 features of unit length make it 16"),
        ({"scatter": 15 * torch.eye(16)}, "scatter", "its trace is 240"),
        ({"scatter": torch.diag(torch.tensor([35.0, -20.0] + 14 * [0.0]))}, "scatter", "within classes it is negative"),
        ({"scatter": 15 / 16 * torch.eye(16)}, "scatter", "within classes it is negative"),
    ],
    ids=str,
)
def test_what_no_lessons_sum_up_to_is_refused(change: dict[str, torch.Tensor], field: str, sentence: str) -> None:
    tight = torch.arange(3).repeat(5)  # five equal lessons a class
    exact = sum_up(torch.eye(16)[tight], tight, LabelSet(("a", "b", "c")), None)
    check_sums(exact)
    with pytest.raises(BadRequest, match=sentence) as refused:
        check_sums(replace(exact, **change))
    assert refused.value.field == field
