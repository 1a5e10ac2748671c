"""The metrics of an answer, read back from the text that Prometheus would read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest
import torch

from tests.telemetry.conftest import observe, read_metric
from tests.telemetry.reports import make_report
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.events import Called
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Explanation, SessionStatus
from tta_service.telemetry.answer_metrics import START, Drift
from tta_service.telemetry.metrics import Metrics


def test_an_answer_is_counted_timed_and_staged(metrics: Metrics):
    observe(metrics, make_report())
    outcome = {"method": "Classify", "strategy": "zero_shot", "code": "OK"}
    assert read_metric(metrics, "tta_requests_total", **outcome) == 1
    assert read_metric(metrics, "tta_request_duration_seconds_sum", **outcome) == pytest.approx(0.08)
    for stage in STAGES:
        labels = {"stage": stage, "strategy": "zero_shot"}
        assert read_metric(metrics, "tta_stage_duration_seconds_sum", **labels) == pytest.approx(0.01)
    assert read_metric(metrics, "tta_stage_duration_seconds_count", stage="total", strategy="zero_shot") is None
    assert read_metric(metrics, "tta_frames_answered_total", policy="") is None


def test_a_frame_has_an_age(metrics: Metrics):
    observe(metrics, make_report(policy="latest"))
    assert read_metric(metrics, "tta_frames_answered_total", policy="latest") == 1
    assert read_metric(metrics, "tta_frame_age_seconds_sum", policy="latest") == pytest.approx(0.08)
    assert read_metric(metrics, "tta_requests_total", method="ClassifyStream", strategy="zero_shot", code="OK") == 1


def test_a_flip_is_another_label_than_zero_shot(metrics: Metrics):
    observe(metrics, make_report())
    assert read_metric(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 0
    observe(metrics, make_report(logits=torch.tensor([0.0, 3.0, 0.0])))
    assert read_metric(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 1


def test_impossible_labels_and_one_class_do_not_spoil_the_entropy(metrics: Metrics):
    certain = torch.tensor([-torch.inf, 0.0, -torch.inf])
    observe(metrics, make_report(logits=certain))
    observe(metrics, make_report(logits=torch.full((3,), -torch.inf)))  # no answer at all: not finite, left out
    observe(metrics, make_report(logits=torch.tensor([4.0]), zero_shot=torch.tensor([4.0])))
    assert read_metric(metrics, "tta_entropy_after_sum", strategy="zero_shot") == 0
    assert read_metric(metrics, "tta_entropy_after_count", strategy="zero_shot") == 2
    p = [math.exp(i) / (1 + math.e + math.e**2) for i in range(3)]
    expected = -sum(x * math.log(x) for x in p) / math.log(3)
    assert read_metric(metrics, "tta_entropy_before_sum", strategy="zero_shot") == pytest.approx(2 * expected)


def test_less_than_asked_is_a_fallback(metrics: Metrics):
    observe(metrics, make_report(degraded=Degraded("deadline", 64, 8)))
    assert read_metric(metrics, "tta_adaptation_fallback_total", strategy="zero_shot", reason="deadline") == 1


def make_explanation(tokens_left: tuple[int, ...] = (), **notes: float) -> Explanation:
    kept, weight = torch.tensor([True, False, True, False]), torch.full((4,), 0.25)
    return Explanation(None, torch.zeros(4), torch.zeros(4), kept, weight, notes, tokens_left)


def test_explanations_count_views_kept_memory_fill_and_admissions(metrics: Metrics):
    done = replace(make_report(), strategy=strategies.build("tda"))
    observe(metrics, done)
    assert read_metric(metrics, "tta_views_kept_ratio_count", strategy="tda") is None
    for note in ({"fill": 0.25, "admitted": 1.0}, {"fill": 0.5, "admitted": 0.0}, {"admitted": 0.0}, {}):
        observe(metrics, replace(done, explanation=make_explanation(**note)))
    assert read_metric(metrics, "tta_views_kept_ratio_sum", strategy="tda") == 4 * 0.5
    assert read_metric(metrics, "tta_cache_fill_ratio", strategy="tda") == 0.5
    assert read_metric(metrics, "tta_memory_admissions_total", strategy="tda", outcome="admitted") == 1
    assert read_metric(metrics, "tta_memory_admissions_total", strategy="tda", outcome="refused") == 2


def test_tokens_pruned_are_a_share_of_all_where_all_views_are_reduced(metrics: Metrics):
    metrics = Metrics(("zero_shot",), ("none", "tome"))
    metrics.set_build_info("1", "2", "pocket", "cpu", patches=40)
    done = replace(make_report(), explanation=make_explanation((30, 10, 5)))
    for scope in ("all", "augmented"):
        reduced = replace(done.request, reduction=Reduction(reducers.build("tome"), scope))
        observe(metrics, replace(done, request=reduced))
    assert read_metric(metrics, "tta_tokens_pruned_ratio_sum", reducer="tome") == 0.625
    assert read_metric(metrics, "tta_tokens_pruned_ratio_count", reducer="tome") == 1


def test_gradient_steps_resets_and_restores(metrics: Metrics):
    metrics = Metrics(("zero_shot", "tpt", "swap_prompt"))
    observe(metrics, make_report())
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="zero_shot") is None
    for strategy in (strategies.build("tpt", {"steps": 3}), strategies.build("swap_prompt")):
        restored = SessionStatus("gate", "restored", 4, memory_reset=True)
        observe(metrics, replace(make_report(), strategy=strategy, session=restored))
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="tpt") == 3
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="swap_prompt") == 1
    assert read_metric(metrics, "tta_memory_resets_total", strategy="tpt") == 1
    assert read_metric(metrics, "tta_session_restores_total", outcome="restored") == 2
    observe(metrics, Called("tta.v1.AdaptationService", "RestoreSession", "unary", "INVALID_ARGUMENT", 0.1))
    observe(metrics, Called("tta.v1.AdaptationService", "RestoreSession", "unary", "OK", 0.1))
    assert read_metric(metrics, "tta_session_restores_total", outcome="refused") == 1


def test_drift_shows_once_there_is_a_reference(metrics: Metrics):
    same = replace(make_report(), feature=torch.tensor([1.0, 0.0]))
    for _ in range(64):
        observe(metrics, same)
    assert read_metric(metrics, "tta_drift_feature", strategy="zero_shot") is None
    observe(metrics, replace(same, feature=torch.tensor([0.0, 1.0]), zero_shot=torch.zeros(3)))
    assert read_metric(metrics, "tta_drift_feature", strategy="zero_shot") == pytest.approx(math.sqrt(2) / 64)
    before = make_report().zero_shot_scores.relative_entropy
    assert read_metric(metrics, "tta_drift_entropy", strategy="zero_shot") == pytest.approx((1 - before) / 64)


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
