"""Every event becomes the right numbers, read back from the text that Prometheus would read."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import tta_service
from tests.telemetry.events import report
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.errors import BadImage, BadRequest, DeadlineTooShort, ModelFault, Overloaded
from tta_service.core.events import (
    Called,
    Canary,
    Closed,
    Dropped,
    Forward,
    Messaged,
    Received,
    Refused,
    Streaming,
)
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Explanation, SessionStatus
from tta_service.telemetry.collector import Counts
from tta_service.telemetry.metrics import Metrics, relative_entropy
from tta_service.telemetry.series import SHARE


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(("zero_shot", "tda"), code_of=lambda error: {BadImage: "INVALID_ARGUMENT"}.get(type(error), "OTHER"))


def number(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


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


def test_buckets_of_durations_are_chosen_and_of_nothing_else():
    chosen = Metrics(("zero_shot",), latencies=(0.05, 0.5))
    chosen.observe(report(policy="latest"))
    text, _ = chosen.registry.written("")
    bounds = re.findall(r'^tta_(\w+)_bucket\{.*le="([^"]+)"', text.decode(), re.MULTILINE)
    by_name = {name: [bound for other, bound in bounds if other == name] for name, _ in bounds}
    assert by_name["request_duration_seconds"] == by_name["frame_age_seconds"] == ["0.05", "0.5", "+Inf"]
    assert len(by_name["entropy_after"]) == len(SHARE) + 1


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


def test_relative_entropy_runs_from_certain_to_uniform():
    assert relative_entropy(numpy.zeros(7)) == pytest.approx(1)
    assert relative_entropy(numpy.array([1e4, 0, 0], dtype=numpy.float32)) == 0


def test_less_than_asked_is_a_fallback(metrics: Metrics):
    metrics.observe(report(degraded=Degraded("deadline", 64, 8)))
    assert number(metrics, "tta_adaptation_fallback_total", strategy="zero_shot", reason="deadline") == 1


def test_refusals_carry_the_code_of_the_door(metrics: Metrics):
    metrics.observe(Refused(BadImage("broken", "image"), "Classify", "tda"))
    metrics.observe(Refused(Overloaded("full"), "ClassifyStream", ""))
    assert number(metrics, "tta_requests_total", method="Classify", strategy="tda", code="INVALID_ARGUMENT") == 1
    assert number(metrics, "tta_requests_total", method="ClassifyStream", strategy="unknown", code="OTHER") == 1
    assert number(metrics, "tta_admission_rejected_total", reason="overloaded") == 1


def test_a_name_out_of_the_catalogue_is_other(metrics: Metrics):
    metrics.observe(Refused(BadImage("broken"), "Classify", "evil\nname"))
    metrics.observe(Forward(8, 2, 0.1, "homemade"))
    assert number(metrics, "tta_requests_total", method="Classify", strategy="other", code="INVALID_ARGUMENT") == 1
    assert number(metrics, "tta_batch_size_sum", stage="encode", reducer="other") == 8


def test_drops_sessions_and_forwards(metrics: Metrics):
    metrics.observe(Dropped("superseded", "latest"))
    metrics.observe(Closed("idle", 40))
    metrics.observe(Forward(64, 4, 0.2, "none"))
    metrics.observe(Forward(16, 1, 0.1, "none", failed=True))
    assert number(metrics, "tta_frames_dropped_total", reason="superseded", policy="latest") == 1
    assert number(metrics, "tta_session_evictions_total", reason="idle") == 1
    assert number(metrics, "tta_batch_size_bucket", stage="encode", reducer="none", le="32.0") == 1
    assert number(metrics, "tta_batch_requests_sum", reducer="none") == 5
    assert number(metrics, "tta_forward_failures_total", reducer="none") == 1


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
    metrics.built("1", "2", "pocket", "cpu", patches=40)
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


def test_each_frame_that_came_in_is_answered_or_dropped(metrics: Metrics):
    metrics.observe(Streaming("latest", open=True))
    metrics.observe(Streaming("latest", open=True))
    metrics.observe(Streaming("latest", open=False))
    assert number(metrics, "tta_streams_open", policy="latest") == 1
    for _ in range(5):
        metrics.observe(Received("latest"))
    metrics.observe(report(policy="latest"))
    metrics.observe(Dropped("superseded", "latest"))
    for error in (BadImage("broken"), DeadlineTooShort("late"), BadRequest("odd")):
        metrics.observe(Refused(error, "ClassifyStream", "tda", "latest"))
    assert number(metrics, "tta_frames_received_total", policy="latest") == 5
    assert number(metrics, "tta_frames_answered_total", policy="latest") == 1
    for reason in ("superseded", "decode_error", "deadline", "error"):
        assert number(metrics, "tta_frames_dropped_total", reason=reason, policy="latest") == 1


def test_a_lack_of_device_memory_is_found_behind_the_refusal(metrics: Metrics):
    fault, seen = ModelFault("failed on this image"), ModelFault("failed on this image")
    fault.__cause__, seen.__cause__ = torch.OutOfMemoryError("CUDA out of memory"), fault
    metrics.observe(Refused(seen, "Classify", "tda"))
    metrics.observe(Refused(ModelFault("failed"), "Classify", "tda"))
    assert number(metrics, "tta_cuda_oom_total", strategy="tda") == 1


def test_on_a_gpu_the_first_lack_of_memory_is_a_rise(metrics: Metrics):
    metrics.built("1", "2", "pocket", "cpu")
    assert number(metrics, "tta_cuda_oom_total", strategy="tda") is None
    metrics.built("1", "2", "pocket", "cuda:0")
    assert number(metrics, "tta_cuda_oom_total", strategy="tda") == 0


def test_peaks_that_were_measured_are_published(metrics: Metrics):
    metrics.measured("tda", "cpu", 4096)
    metrics.measured("tda", "cuda:1", 8192)
    metrics.measured("evil", "cuda", 1)
    assert number(metrics, "tta_strategy_rss_delta_bytes", strategy="tda") == 4096
    assert number(metrics, "tta_strategy_cuda_peak_bytes", strategy="tda", device="1") == 8192
    assert number(metrics, "tta_strategy_cuda_peak_bytes", strategy="other", device="0") == 1


def test_canaries_are_timed_and_their_failures_counted(metrics: Metrics):
    metrics.observe(Canary(0.25, failed=False))
    metrics.observe(Canary(0.5, failed=True))
    assert number(metrics, "tta_canary_duration_seconds_sum") == 0.75
    assert number(metrics, "tta_canary_failures_total") == 1


def test_messages_are_counted_each_way(metrics: Metrics):
    call = {"grpc_service": "tta.v1.AdaptationService", "grpc_method": "ClassifyStream", "grpc_type": "bidi_stream"}
    for sent in (True, False, True):
        metrics.observe(Messaged("tta.v1.AdaptationService", "ClassifyStream", "bidi_stream", sent))
    assert number(metrics, "grpc_server_msg_sent_total", **call) == 2
    assert number(metrics, "grpc_server_msg_received_total", **call) == 1


def test_calls_are_counted_as_existing_dashboards_expect(metrics: Metrics):
    call = {"grpc_service": "tta.v1.AdaptationService", "grpc_method": "Classify", "grpc_type": "unary"}
    metrics.observe(Called("tta.v1.AdaptationService", "Classify", "unary"))
    assert number(metrics, "grpc_server_started_total", **call) == 1
    assert number(metrics, "grpc_server_handled_total", **call, grpc_code="OK") is None
    metrics.observe(Called("tta.v1.AdaptationService", "Classify", "unary", "OK", 0.3))
    assert number(metrics, "grpc_server_started_total", **call) == 1
    assert number(metrics, "grpc_server_handled_total", **call, grpc_code="OK") == 1
    assert number(metrics, "grpc_server_handling_seconds_sum", **call) == pytest.approx(0.3)


def test_build_process_and_interpreter(metrics: Metrics):
    metrics.built(version="1.2", torch="2.15", model="pocket", device="cpu")
    assert number(metrics, "tta_build_info", version="1.2", torch="2.15", model="pocket", device="cpu") == 1
    assert number(metrics, "tta_model_loaded", model="pocket") == 1
    assert (number(metrics, "tta_memory_limit_bytes") or 0) > 10_000_000
    assert (number(metrics, "process_resident_memory_bytes") or 0) > 10_000_000
    assert number(metrics, "python_gc_collections_total", generation="0") is not None


def test_no_created_series_and_no_common_registry():
    first, second = Metrics(("zero_shot",)), Metrics(("zero_shot",))
    first.observe(report())
    assert "_created" not in generate_latest(first.registry).decode()
    assert number(second, "tta_requests_total", method="Classify", strategy="zero_shot", code="OK") is None


def test_scraping_while_observing_loses_nothing(metrics: Metrics):
    writers = [threading.Thread(target=lambda: [metrics.observe(report()) for _ in range(200)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        generate_latest(metrics.registry)
    assert number(metrics, "tta_requests_total", method="Classify", strategy="zero_shot", code="OK") == 800


def test_the_readme_names_every_series_and_no_other(metrics: Metrics):
    metrics.pull(Counts)
    ours = {family.name for family in metrics.registry.collect() if family.name.startswith(("tta_", "grpc_"))}
    table = Path(tta_service.__file__).with_name("README.md").read_text().partition("## Metrics")[2]
    told = {name.removesuffix("_total") for name in re.findall(r"`((?:tta|grpc)_[a-z_]+)`", table)}
    told |= {f"tta_text_cache_{kind}" for kind in ("hits", "misses", "evictions")}
    assert told == ours
