"""The metrics of every event, read back from the text that Prometheus would read."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import torch

from tests.telemetry.conftest import observe, read_metric, scrape
from tests.telemetry.reports import make_report
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
from tta_service.telemetry.instruments import SHARE
from tta_service.telemetry.metrics import CGROUPS, Metrics, memory_limit


def test_latencies_set_the_buckets_of_durations_only():
    metrics = Metrics(("zero_shot",), latencies=(0.05, 0.5))
    observe(metrics, make_report(policy="latest"))
    text, _ = metrics.registry.render("")
    bounds = re.findall(r'^tta_(\w+)_bucket\{.*le="([^"]+)"', text.decode(), re.MULTILINE)
    by_name = {name: [bound for other, bound in bounds if other == name] for name, _ in bounds}
    assert by_name["request_duration_seconds"] == by_name["frame_age_seconds"] == ["0.05", "0.5", "+Inf"]
    assert len(by_name["entropy_after"]) == len(SHARE) + 1


def test_refusals_carry_the_code_that_the_transport_gives(metrics: Metrics):
    observe(metrics, Refused(BadImage("broken", "image"), "Classify", "tda"))
    observe(metrics, Refused(Overloaded("full"), "ClassifyStream", ""))
    assert read_metric(metrics, "tta_requests_total", method="Classify", strategy="tda", code="INVALID_ARGUMENT") == 1
    assert read_metric(metrics, "tta_requests_total", method="ClassifyStream", strategy="unknown", code="OTHER") == 1
    assert read_metric(metrics, "tta_admission_rejected_total", reason="overloaded") == 1


def test_a_name_out_of_the_catalogue_is_other(metrics: Metrics):
    observe(metrics, Refused(BadImage("broken"), "Classify", "evil\nname"))
    observe(metrics, Forward(8, 2, 0.1, "homemade"))
    assert read_metric(metrics, "tta_requests_total", method="Classify", strategy="other", code="INVALID_ARGUMENT") == 1
    assert read_metric(metrics, "tta_batch_size_sum", stage="encode", reducer="other") == 8


def test_drops_sessions_and_forwards(metrics: Metrics):
    observe(metrics, Dropped("superseded", "latest"))
    observe(metrics, Closed("idle", 40))
    observe(metrics, Forward(64, 4, 0.2, "none"))
    observe(metrics, Forward(16, 1, 0.1, "none", failed=True))
    assert read_metric(metrics, "tta_frames_dropped_total", reason="superseded", policy="latest") == 1
    assert read_metric(metrics, "tta_session_evictions_total", reason="idle") == 1
    assert read_metric(metrics, "tta_batch_size_bucket", stage="encode", reducer="none", le="32.0") == 1
    assert read_metric(metrics, "tta_batch_requests_sum", reducer="none") == 5
    assert read_metric(metrics, "tta_forward_failures_total", reducer="none") == 1


def test_each_frame_that_came_in_is_answered_or_dropped(metrics: Metrics):
    observe(metrics, Streaming("latest", open=True))
    observe(metrics, Streaming("latest", open=True))
    observe(metrics, Streaming("latest", open=False))
    assert read_metric(metrics, "tta_streams_open", policy="latest") == 1
    for _ in range(5):
        observe(metrics, Received("latest"))
    observe(metrics, make_report(policy="latest"))
    observe(metrics, Dropped("superseded", "latest"))
    for error in (BadImage("broken"), DeadlineTooShort("late"), BadRequest("odd")):
        observe(metrics, Refused(error, "ClassifyStream", "tda", "latest"))
    assert read_metric(metrics, "tta_frames_received_total", policy="latest") == 5
    assert read_metric(metrics, "tta_frames_answered_total", policy="latest") == 1
    for reason in ("superseded", "decode_error", "deadline", "error"):
        assert read_metric(metrics, "tta_frames_dropped_total", reason=reason, policy="latest") == 1


def test_a_lack_of_device_memory_is_found_behind_the_refusal(metrics: Metrics):
    fault, located = ModelFault("failed on this image"), ModelFault("failed on this image")
    fault.__cause__, located.__cause__ = torch.OutOfMemoryError("CUDA out of memory"), fault
    observe(metrics, Refused(located, "Classify", "tda"))
    observe(metrics, Refused(ModelFault("failed"), "Classify", "tda"))
    assert read_metric(metrics, "tta_cuda_oom_total", strategy="tda") == 1


def test_on_a_gpu_the_first_lack_of_memory_is_an_increase(metrics: Metrics):
    metrics.set_build_info("1", "2", "pocket", "cpu")
    assert read_metric(metrics, "tta_cuda_oom_total", strategy="tda") is None
    metrics.set_build_info("1", "2", "pocket", "cuda:0")
    assert read_metric(metrics, "tta_cuda_oom_total", strategy="tda") == 0


def test_measured_peaks_are_published(metrics: Metrics):
    metrics.set_memory_peak("tda", "cpu", 4096)
    metrics.set_memory_peak("tda", "cuda:1", 8192)
    metrics.set_memory_peak("evil", "cuda", 1)
    assert read_metric(metrics, "tta_strategy_rss_delta_bytes", strategy="tda") == 4096
    assert read_metric(metrics, "tta_strategy_cuda_peak_bytes", strategy="tda", device="1") == 8192
    assert read_metric(metrics, "tta_strategy_cuda_peak_bytes", strategy="other", device="0") == 1


def test_canaries_are_timed_and_their_failures_counted(metrics: Metrics):
    observe(metrics, Canary(0.25, failed=False))
    observe(metrics, Canary(0.5, failed=True))
    assert read_metric(metrics, "tta_canary_duration_seconds_sum") == 0.75
    assert read_metric(metrics, "tta_canary_failures_total") == 1


def test_messages_are_counted_each_way(metrics: Metrics):
    call = {"grpc_service": "tta.v1.AdaptationService", "grpc_method": "ClassifyStream", "grpc_type": "bidi_stream"}
    for sent in (True, False, True):
        observe(metrics, Messaged("tta.v1.AdaptationService", "ClassifyStream", "bidi_stream", sent))
    assert read_metric(metrics, "grpc_server_msg_sent_total", **call) == 2
    assert read_metric(metrics, "grpc_server_msg_received_total", **call) == 1


def test_calls_are_counted_as_existing_dashboards_expect(metrics: Metrics):
    call = {"grpc_service": "tta.v1.AdaptationService", "grpc_method": "Classify", "grpc_type": "unary"}
    observe(metrics, Called("tta.v1.AdaptationService", "Classify", "unary"))
    assert read_metric(metrics, "grpc_server_started_total", **call) == 1
    assert read_metric(metrics, "grpc_server_handled_total", **call, grpc_code="OK") is None
    observe(metrics, Called("tta.v1.AdaptationService", "Classify", "unary", "OK", 0.3))
    assert read_metric(metrics, "grpc_server_started_total", **call) == 1
    assert read_metric(metrics, "grpc_server_handled_total", **call, grpc_code="OK") == 1
    assert read_metric(metrics, "grpc_server_handling_seconds_sum", **call) == pytest.approx(0.3)


def test_build_process_and_interpreter(metrics: Metrics):
    metrics.set_build_info(version="1.2", torch="2.15", model="pocket", device="cpu")
    assert read_metric(metrics, "tta_build_info", version="1.2", torch="2.15", model="pocket", device="cpu") == 1
    assert read_metric(metrics, "tta_model_loaded", model="pocket") == 1
    assert (read_metric(metrics, "tta_memory_limit_bytes") or 0) > 10_000_000
    assert (read_metric(metrics, "process_resident_memory_bytes") or 0) > 10_000_000
    assert read_metric(metrics, "python_gc_collections_total", generation="0") is not None


def test_no_created_series_and_no_common_registry():
    first, second = Metrics(("zero_shot",)), Metrics(("zero_shot",))
    observe(first, make_report())
    assert "_created" not in scrape(first)
    assert read_metric(second, "tta_requests_total", method="Classify", strategy="zero_shot", code="OK") is None


def test_scraping_while_observing_loses_nothing(metrics: Metrics):
    writers = [threading.Thread(target=lambda: [observe(metrics, make_report()) for _ in range(200)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        scrape(metrics)
    assert read_metric(metrics, "tta_requests_total", method="Classify", strategy="zero_shot", code="OK") == 800


def write_limit(root: Path, path: str, text: str) -> Path:
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(text)
    return root


def test_a_container_has_less_than_the_machine(tmp_path: Path):
    machine = memory_limit(tmp_path)
    assert machine > 1 << 26
    for path in CGROUPS:
        assert memory_limit(write_limit(tmp_path / path[-3:], path, "33554432\n")) == 33554432


def test_a_container_without_a_limit_has_the_machine(tmp_path: Path):
    machine = memory_limit(tmp_path)
    assert memory_limit(write_limit(tmp_path / "max", CGROUPS[0], "max\n")) == machine
    assert memory_limit(write_limit(tmp_path / "huge", CGROUPS[1], str(1 << 62))) == machine
