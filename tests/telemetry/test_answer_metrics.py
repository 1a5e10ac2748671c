"""The metrics of an answer, read back from the text that Prometheus would read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest
import torch

from tests.telemetry.conftest import read_metric
from tests.telemetry.reports import make_report
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.events import Called
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Explanation, SessionStatus
from tta_service.telemetry.answer_metrics import relative_entropy
from tta_service.telemetry.metrics import Metrics


def test_an_answer_is_counted_timed_and_staged(metrics: Metrics):
    metrics.observe(make_report())
    outcome = {"method": "Classify", "strategy": "zero_shot", "code": "OK"}
    assert read_metric(metrics, "tta_requests_total", **outcome) == 1
    assert read_metric(metrics, "tta_request_duration_seconds_sum", **outcome) == pytest.approx(0.08)
    for stage in STAGES:
        labels = {"stage": stage, "strategy": "zero_shot"}
        assert read_metric(metrics, "tta_stage_duration_seconds_sum", **labels) == pytest.approx(0.01)
    assert read_metric(metrics, "tta_stage_duration_seconds_count", stage="total", strategy="zero_shot") is None
    assert read_metric(metrics, "tta_frames_answered_total", policy="") is None


def test_a_frame_has_an_age(metrics: Metrics):
    metrics.observe(make_report(policy="latest"))
    assert read_metric(metrics, "tta_frames_answered_total", policy="latest") == 1
    assert read_metric(metrics, "tta_frame_age_seconds_sum", policy="latest") == pytest.approx(0.08)
    assert read_metric(metrics, "tta_requests_total", method="ClassifyStream", strategy="zero_shot", code="OK") == 1


def test_a_flip_is_another_label_than_zero_shot(metrics: Metrics):
    metrics.observe(make_report())
    assert read_metric(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 0
    metrics.observe(make_report(logits=torch.tensor([0.0, 3.0, 0.0])))
    assert read_metric(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 1


def test_relative_entropy_runs_from_certain_to_uniform():
    assert relative_entropy(numpy.zeros(7)) == pytest.approx(1)
    assert relative_entropy(numpy.array([1e4, 0, 0], dtype=numpy.float32)) == 0


def test_impossible_labels_and_one_class_do_not_spoil_the_entropy(metrics: Metrics):
    certain = torch.tensor([-torch.inf, 0.0, -torch.inf])
    metrics.observe(make_report(logits=certain))
    metrics.observe(make_report(logits=torch.full((3,), -torch.inf)))  # no answer at all: not finite, left out
    metrics.observe(make_report(logits=torch.tensor([4.0]), zero_shot=torch.tensor([4.0])))
    assert read_metric(metrics, "tta_entropy_after_sum", strategy="zero_shot") == 0
    assert read_metric(metrics, "tta_entropy_after_count", strategy="zero_shot") == 2
    p = [math.exp(i) / (1 + math.e + math.e**2) for i in range(3)]
    expected = -sum(x * math.log(x) for x in p) / math.log(3)
    assert read_metric(metrics, "tta_entropy_before_sum", strategy="zero_shot") == pytest.approx(2 * expected)


def test_less_than_asked_is_a_fallback(metrics: Metrics):
    metrics.observe(make_report(degraded=Degraded("deadline", 64, 8)))
    assert read_metric(metrics, "tta_adaptation_fallback_total", strategy="zero_shot", reason="deadline") == 1


def make_explanation(tokens_left: tuple[int, ...] = (), **notes: float) -> Explanation:
    kept, weight = torch.tensor([True, False, True, False]), torch.full((4,), 0.25)
    return Explanation(None, torch.zeros(4), torch.zeros(4), kept, weight, notes, tokens_left)


def test_explanations_count_views_kept_memory_fill_and_admissions(metrics: Metrics):
    done = replace(make_report(), strategy=strategies.build("tda"))
    metrics.observe(done)
    assert read_metric(metrics, "tta_views_kept_ratio_count", strategy="tda") is None
    for note in ({"fill": 0.25, "admitted": 1.0}, {"fill": 0.5, "admitted": 0.0}, {"admitted": 0.0}, {}):
        metrics.observe(replace(done, explanation=make_explanation(**note)))
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
        metrics.observe(replace(done, request=reduced))
    assert read_metric(metrics, "tta_tokens_pruned_ratio_sum", reducer="tome") == 0.625
    assert read_metric(metrics, "tta_tokens_pruned_ratio_count", reducer="tome") == 1


def test_gradient_steps_resets_and_restores(metrics: Metrics):
    metrics = Metrics(("zero_shot", "tpt", "swap_prompt"))
    metrics.observe(make_report())
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="zero_shot") is None
    for strategy in (strategies.build("tpt", {"steps": 3}), strategies.build("swap_prompt")):
        restored = SessionStatus("gate", "restored", 4, memory_reset=True)
        metrics.observe(replace(make_report(), strategy=strategy, session=restored))
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="tpt") == 3
    assert read_metric(metrics, "tta_adaptation_steps_total", strategy="swap_prompt") == 1
    assert read_metric(metrics, "tta_memory_resets_total", strategy="tpt") == 1
    assert read_metric(metrics, "tta_session_restores_total", outcome="restored") == 2
    metrics.observe(Called("tta.v1.AdaptationService", "RestoreSession", "unary", "INVALID_ARGUMENT", 0.1))
    metrics.observe(Called("tta.v1.AdaptationService", "RestoreSession", "unary", "OK", 0.1))
    assert read_metric(metrics, "tta_session_restores_total", outcome="refused") == 1


def test_drift_shows_once_there_is_a_reference(metrics: Metrics):
    same = replace(make_report(), feature=torch.tensor([1.0, 0.0]))
    for _ in range(64):
        metrics.observe(same)
    assert read_metric(metrics, "tta_drift_feature", strategy="zero_shot") is None
    metrics.observe(replace(same, feature=torch.tensor([0.0, 1.0]), zero_shot=torch.zeros(3)))
    assert read_metric(metrics, "tta_drift_feature", strategy="zero_shot") == pytest.approx(math.sqrt(2) / 64)
    before = relative_entropy(make_report().zero_shot.numpy())
    assert read_metric(metrics, "tta_drift_entropy", strategy="zero_shot") == pytest.approx((1 - before) / 64)
