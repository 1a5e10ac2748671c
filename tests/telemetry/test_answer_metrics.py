"""What an answer is counted by, read back from the text that Prometheus would read."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.telemetry.events import report
from tests.telemetry.scraped import number
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.events import Called
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Explanation, SessionStatus
from tta_service.telemetry.entropy import relative_entropy
from tta_service.telemetry.metrics import Metrics


def test_an_answer_is_counted_timed_and_staged(metrics: Metrics):
    metrics.observe(report())
    seen = {"method": "Classify", "strategy": "zero_shot", "code": "OK"}
    assert number(metrics, "tta_requests_total", **seen) == 1
    assert number(metrics, "tta_request_duration_seconds_sum", **seen) == pytest.approx(0.08)
    for stage in STAGES:
        named = {"stage": stage, "strategy": "zero_shot"}
        assert number(metrics, "tta_stage_duration_seconds_sum", **named) == pytest.approx(0.01)
    assert number(metrics, "tta_stage_duration_seconds_count", stage="total", strategy="zero_shot") is None
    assert number(metrics, "tta_frames_answered_total", policy="") is None


def test_a_frame_has_an_age(metrics: Metrics):
    metrics.observe(report(policy="latest"))
    assert number(metrics, "tta_frames_answered_total", policy="latest") == 1
    assert number(metrics, "tta_frame_age_seconds_sum", policy="latest") == pytest.approx(0.08)
    assert number(metrics, "tta_requests_total", method="ClassifyStream", strategy="zero_shot", code="OK") == 1


def test_a_flip_is_another_label_than_zero_shot(metrics: Metrics):
    metrics.observe(report())
    assert number(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 0
    metrics.observe(report(logits=torch.tensor([0.0, 3.0, 0.0])))
    assert number(metrics, "tta_prediction_flips_total", strategy="zero_shot") == 1


def test_impossible_labels_and_one_class_do_not_spoil_the_entropy(metrics: Metrics):
    sure = torch.tensor([-torch.inf, 0.0, -torch.inf])
    metrics.observe(report(logits=sure))
    metrics.observe(report(logits=torch.full((3,), -torch.inf)))  # no answer at all: not finite, left out
    metrics.observe(report(logits=torch.tensor([4.0]), zero_shot=torch.tensor([4.0])))
    assert number(metrics, "tta_entropy_after_sum", strategy="zero_shot") == 0
    assert number(metrics, "tta_entropy_after_count", strategy="zero_shot") == 2
    p = [math.exp(i) / (1 + math.e + math.e**2) for i in range(3)]
    expected = -sum(x * math.log(x) for x in p) / math.log(3)
    assert number(metrics, "tta_entropy_before_sum", strategy="zero_shot") == pytest.approx(2 * expected)


def test_less_than_asked_is_a_fallback(metrics: Metrics):
    metrics.observe(report(degraded=Degraded("deadline", 64, 8)))
    assert number(metrics, "tta_adaptation_fallback_total", strategy="zero_shot", reason="deadline") == 1


def explanation(tokens_left: tuple[int, ...] = (), **notes: float) -> Explanation:
    kept, weight = torch.tensor([True, False, True, False]), torch.full((4,), 0.25)
    return Explanation(None, torch.zeros(4), torch.zeros(4), kept, weight, notes, tokens_left)


def test_explanations_tell_what_was_kept_and_let_in(metrics: Metrics):
    done = replace(report(), strategy=strategies.build("tda"))
    metrics.observe(done)
    assert number(metrics, "tta_views_kept_ratio_count", strategy="tda") is None
    for note in ({"fill": 0.25, "admitted": 1.0}, {"fill": 0.5, "admitted": 0.0}, {"admitted": 0.0}, {}):
        metrics.observe(replace(done, explanation=explanation(**note)))
    assert number(metrics, "tta_views_kept_ratio_sum", strategy="tda") == 4 * 0.5
    assert number(metrics, "tta_cache_fill_ratio", strategy="tda") == 0.5
    assert number(metrics, "tta_memory_admissions_total", strategy="tda", outcome="admitted") == 1
    assert number(metrics, "tta_memory_admissions_total", strategy="tda", outcome="refused") == 2


def test_tokens_pruned_are_a_share_of_all_where_all_views_are_reduced(metrics: Metrics):
    metrics = Metrics(("zero_shot",), ("none", "tome"))
    metrics.set_build_info("1", "2", "pocket", "cpu", patches=40)
    done = replace(report(), explanation=explanation((30, 10, 5)))
    for scope in ("all", "augmented"):
        reduced = replace(done.request, reduction=Reduction(reducers.build("tome"), scope))
        metrics.observe(replace(done, request=reduced))
    assert number(metrics, "tta_tokens_pruned_ratio_sum", reducer="tome") == 0.625
    assert number(metrics, "tta_tokens_pruned_ratio_count", reducer="tome") == 1


def test_gradient_steps_resets_and_restores(metrics: Metrics):
    metrics = Metrics(("zero_shot", "tpt", "swap_prompt"))
    metrics.observe(report())
    assert number(metrics, "tta_adaptation_steps_total", strategy="zero_shot") is None
    for strategy in (strategies.build("tpt", {"steps": 3}), strategies.build("swap_prompt")):
        back = SessionStatus("door", "restored", 4, memory_reset=True)
        metrics.observe(replace(report(), strategy=strategy, session=back))
    assert number(metrics, "tta_adaptation_steps_total", strategy="tpt") == 3
    assert number(metrics, "tta_adaptation_steps_total", strategy="swap_prompt") == 1
    assert number(metrics, "tta_memory_resets_total", strategy="tpt") == 1
    assert number(metrics, "tta_session_restores_total", outcome="restored") == 2
    metrics.observe(Called("tta.v1.AdaptationService", "RestoreSession", "unary", "INVALID_ARGUMENT", 0.1))
    metrics.observe(Called("tta.v1.AdaptationService", "RestoreSession", "unary", "OK", 0.1))
    assert number(metrics, "tta_session_restores_total", outcome="refused") == 1


def test_drift_shows_once_there_is_a_reference(metrics: Metrics):
    still = replace(report(), feature=torch.tensor([1.0, 0.0]))
    for _ in range(64):
        metrics.observe(still)
    assert number(metrics, "tta_drift_feature", strategy="zero_shot") is None
    metrics.observe(replace(still, feature=torch.tensor([0.0, 1.0]), zero_shot=torch.zeros(3)))
    assert number(metrics, "tta_drift_feature", strategy="zero_shot") == pytest.approx(math.sqrt(2) / 64)
    before = relative_entropy(report().zero_shot.numpy())
    assert number(metrics, "tta_drift_entropy", strategy="zero_shot") == pytest.approx((1 - before) / 64)
