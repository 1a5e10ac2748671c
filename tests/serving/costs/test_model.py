from __future__ import annotations

import random

import pytest
import torch

from tests.serving.toys import Halved
from tta_service.core.request import Encoded, Features, PixelFormat, Raw
from tta_service.serving.costs.estimators import Estimate
from tta_service.serving.costs.model import MAX_CURVES, MAX_SAMPLES, CostModel
from tta_service.strategies.tda import TDA
from tta_service.strategies.zero import Zero

MEASURED = {1: 0.01, 2: 0.015, 4: 0.02, 8: 0.04}


def test_forwards_begin_with_what_warm_up_measured():
    costs = CostModel(8, MEASURED)
    assert costs.estimate_forward(costs.no_reduction, 4).likely == pytest.approx(0.02)
    assert costs.estimate_encode(costs.no_reduction, 20).likely == pytest.approx(2 * 0.04 + 0.02)
    assert costs.estimate_encode(costs.no_reduction, 0).likely == 0.0


def test_without_warm_up_nothing_is_estimated_until_the_first_forward():
    costs = CostModel(8)
    assert costs.estimate_encode(costs.no_reduction, 64).safe == 0.0
    costs.learn_forward(costs.no_reduction, 8, 0.8)
    assert costs.estimate_forward(costs.no_reduction, 4).likely == pytest.approx(0.4)


def test_a_machine_that_became_slower_is_slower_at_every_size_and_for_every_reducer():
    costs = CostModel(8, MEASURED)
    for _ in range(20):
        costs.learn_forward(costs.no_reduction, 8, 0.08)
    assert costs.estimate_forward(costs.no_reduction, 1).likely == pytest.approx(0.02, rel=0.05)
    assert costs.estimate_forward(Halved(), 8).likely == pytest.approx(0.08, rel=0.05)
    for _ in range(20):
        costs.learn_forward(Halved(), 8, 0.03)
    assert costs.estimate_forward(Halved(), 8).likely == pytest.approx(0.03, rel=0.05)
    assert costs.estimate_forward(costs.no_reduction, 8).likely == pytest.approx(0.08, rel=0.05)


def test_a_size_that_was_measured_often_has_its_own_estimate():
    costs = CostModel(8, MEASURED)
    for _ in range(20):
        costs.learn_forward(costs.no_reduction, 8, 0.04)
        costs.learn_forward(costs.no_reduction, 1, 0.03)  # threads that meet cost as much for one row as for eight
    assert costs.estimate_forward(costs.no_reduction, 1).likely == pytest.approx(0.03, rel=0.05)
    assert costs.estimate_forward(costs.no_reduction, 8).likely == pytest.approx(0.04, rel=0.05)


def test_adapt_depends_on_strategy_classes_and_views():
    costs = CostModel(8)
    for _ in range(10):
        costs.learn_adapt(Zero(), 10, 64, 0.064)
        costs.learn_adapt(TDA(), 10, 64, 0.5)
    assert costs.estimate_adapt(Zero(), 10, 32).likely == pytest.approx(0.032)
    assert costs.estimate_adapt(TDA(), 10, 64).likely == pytest.approx(0.5)
    assert costs.estimate_adapt(Zero(keep=0.5), 10, 64).likely == pytest.approx(0.064)  # a guess: the same method
    assert costs.estimate_adapt(Zero(), 100, 64).likely == pytest.approx(0.64)  # too
    assert costs.estimate_adapt(costs.zero_shot, 10, 1).likely == 0.0


def test_images_are_told_apart_by_kind_and_size():
    costs = CostModel(8)
    costs.learn_decode(Encoded(bytes(1000)), 0.01)
    costs.learn_decode(Encoded(bytes(100_000)), 0.1)
    assert costs.estimate_decode(Encoded(bytes(900))).likely == pytest.approx(0.01)
    assert costs.estimate_decode(Encoded(bytes(90_000))).likely == pytest.approx(0.1)
    assert 0.01 < costs.estimate_decode(Raw(10, 10, PixelFormat.GRAY8, bytes(100))).likely < 0.1  # never seen
    assert costs.estimate_decode(Features(torch.zeros(1, 4))).likely == 0.0


def test_the_plain_view_has_an_estimate_of_its_own():
    costs = CostModel(8)
    costs.learn_look("crop", 1, 0.005)
    costs.learn_look("crop", 64, 0.064)
    assert costs.estimate_look("crop", 1).likely == pytest.approx(0.005) == costs.estimate_look("augmix", 1).likely
    assert costs.estimate_look("crop", 64).likely == pytest.approx(0.064)


def test_the_least_recently_learnt_parameters_are_forgotten():
    costs, first, last = CostModel(8), Zero(keep=0.9), Zero(keep=0.8)
    costs.learn_adapt(first, 10, 8, 5.0)
    assert costs.estimate_adapt(first, 10, 8).likely == pytest.approx(5.0)
    for views in range(1, MAX_CURVES + 500):
        costs.learn_adapt(Zero(views=1 + views % 512, keep=views / 10_000), 10, 8, 0.1)
    costs.learn_adapt(last, 10, 8, 5.0)
    assert costs.estimate_adapt(first, 10, 8).likely == pytest.approx(0.1, rel=0.5)  # a guess: the same method
    assert costs.estimate_adapt(last, 10, 8).likely == pytest.approx(5.0)


def test_estimates_do_not_depend_on_when_they_are_asked_for():
    draw, strategies, images = random.Random(0), (Zero(), TDA()), (Encoded(bytes(900)), Encoded(bytes(90_000)))

    def estimates(costs: CostModel) -> list[Estimate]:
        return [
            *(costs.estimate_encode(reducer, 13) for reducer in (costs.no_reduction, Halved())),
            *(costs.estimate_decode(image) for image in images),
            *(costs.estimate_look("crop", views) for views in (1, 5, 64)),
            *(costs.estimate_adapt(strategy, 10, views) for strategy in strategies for views in (1, 64)),
            costs.estimate_text(20),
            costs.estimate_overhead(),
        ]

    asked, left_alone = CostModel(8, MEASURED), CostModel(8, MEASURED)
    for _ in range(MAX_SAMPLES):
        views, seconds, reducer = draw.choice((1, 8, 64)), draw.uniform(0.01, 0.1), draw.choice((None, Halved()))
        strategy, image = draw.choice(strategies), draw.choice(images)
        for costs in (asked, left_alone):
            costs.learn_forward(reducer or costs.no_reduction, views, seconds)
            costs.learn_decode(image, seconds)
            costs.learn_look("crop", views, seconds)
            costs.learn_adapt(strategy, 10, views, seconds)
            costs.learn_text(views, seconds)
            costs.learn_overhead(seconds)
        estimates(asked)
    assert estimates(left_alone) == estimates(asked)
