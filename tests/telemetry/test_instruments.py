"""What is promised to operators is exported, under these names and with these labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.conftest import scrape
from tta_service.telemetry.collectors import Counts
from tta_service.telemetry.exposition import Registry
from tta_service.telemetry.instruments import Instruments
from tta_service.telemetry.metrics import Metrics

CALL = {"grpc_service", "grpc_method", "grpc_type"}
OUTCOME = {"method", "strategy", "code"}
PROMISED: dict[str, set[str]] = {
    # calls
    "grpc_server_started": CALL,
    "grpc_server_handled": CALL | {"grpc_code"},
    "grpc_server_handling_seconds": CALL,
    "grpc_server_msg_received": CALL,
    "grpc_server_msg_sent": CALL,
    "tta_http_requests": {"method", "status"},
    "tta_http_seconds": {"method"},
    # requests
    "tta_requests": OUTCOME,
    "tta_request_duration_seconds": OUTCOME,
    "tta_stage_duration_seconds": {"stage", "strategy"},
    "tta_admission_rejected": {"reason"},
    # streams
    "tta_streams_open": {"policy"},
    "tta_frames_received": {"policy"},
    "tta_frames_answered": {"policy"},
    "tta_frames_dropped": {"reason", "policy"},
    "tta_frame_age_seconds": {"policy"},
    # queues, work in flight and batches
    "tta_queue_depth": {"queue"},
    "tta_places_taken": {"place"},
    "tta_places_waiting": {"place"},
    "tta_places_refused": {"place"},
    "tta_queue_limit": {"queue"},
    "tta_queue_bytes": {"queue"},
    "tta_waiting_rows": {"queue"},
    "tta_inflight_requests": set(),
    "tta_inflight_rows": set(),
    "tta_batch_size": {"stage", "reducer"},
    "tta_batch_requests": {"reducer"},
    "tta_forward_duration_seconds": {"reducer"},
    "tta_forward_failures": {"reducer"},
    # sessions and text
    "tta_sessions": {"state"},
    "tta_session_evictions": {"reason"},
    "tta_session_restores": {"outcome"},
    "tta_questions_waiting": set(),
    "tta_questions_asked": {"reason"},
    "tta_questions_answered": set(),
    "tta_questions_evicted": {"reason"},
    "tta_prediction_sets_checked": {"outcome"},
    "tta_drawn_answers": {"outcome"},
    "tta_drawn_confidence": set(),
    "tta_decisions": {"strategy", "decision"},
    "tta_prediction_set_size": {"strategy"},
    "tta_session_worst": {"sign", "rank"},
    "tta_session_memory_bytes": {"strategy"},
    "tta_session_memory_limit_bytes": set(),
    "tta_audit_failures": set(),
    "tta_decoders_ended": {"reason"},
    "tta_store_unavailable": set(),
    "tta_store_failures": set(),
    "tta_store_damaged_records": set(),
    "tta_store_refused_records": set(),
    "tta_strategy_disabled": {"strategy"},
    "tta_label_sets": set(),
    "tta_label_set_bytes": set(),
    "tta_retained_activation_bytes": set(),
    "tta_text_cache_hits": set(),
    "tta_text_cache_misses": set(),
    "tta_text_cache_evictions": set(),
    # adaptation
    "tta_prediction_flips": {"strategy"},
    "tta_entropy_before": {"strategy"},
    "tta_entropy_after": {"strategy"},
    "tta_drift_entropy": {"strategy"},
    "tta_drift_feature": {"strategy"},
    "tta_adaptation_steps": {"strategy"},
    "tta_adaptation_fallback": {"strategy", "reason"},
    "tta_views_kept_ratio": {"strategy"},
    "tta_tokens_pruned_ratio": {"reducer"},
    "tta_cache_fill_ratio": {"strategy"},
    "tta_memory_admissions": {"strategy", "outcome"},
    "tta_memory_resets": {"strategy"},
    "tta_guarded": {"strategy"},
    "tta_warnings": {"warning"},
    # memory and devices
    "tta_strategy_rss_delta_bytes": {"strategy"},
    "tta_strategy_cuda_peak_bytes": {"strategy", "device"},
    "tta_cuda_allocated_bytes": {"device"},
    "tta_cuda_reserved_bytes": {"device"},
    "tta_cuda_oom": {"strategy"},
    "tta_gpu_utilization_ratio": {"device"},
    "tta_gpu_memory_used_bytes": {"device"},
    "tta_gpu_memory_total_bytes": {"device"},
    "tta_gpu_power_watts": {"device"},
    "tta_gpu_temperature_celsius": {"device"},
    "tta_memory_limit_bytes": set(),
    # health and build
    "tta_serving": set(),
    "tta_insecure": set(),
    "tta_certificate_expiry_timestamp_seconds": {"certificate"},
    "tta_worker_heartbeat_timestamp_seconds": {"worker"},
    "tta_canary_duration_seconds": set(),
    "tta_canary_failures": set(),
    "tta_build_info": {"version", "torch", "model", "device"},
    "tta_model_loaded": {"model"},
}


def families() -> Iterator[Metric]:
    metrics = Metrics(("zero_shot",))
    metrics.register_counts(Counts)
    return text_string_to_metric_families(scrape(metrics))


def test_the_promised_names_are_exactly_the_exported_ones():
    ours = {family.name for family in families() if family.name.startswith(("tta_", "grpc_"))}
    assert ours == PROMISED.keys()


def test_labels_are_the_promised_ones():
    pushed = {name_of(one): labels_of(one) for one in vars(Instruments(Registry())).values()}
    metrics = Metrics(("zero_shot",))
    metrics.register_counts(Counts)
    pulled = {family.name: labels_of(family) for family in metrics.registry.collect() if hasattr(family, "_labelnames")}
    exported = {name: labels for name, labels in {**pulled, **pushed}.items() if name in PROMISED}
    assert exported.keys() <= PROMISED.keys() and len(exported) >= 55
    assert exported == {name: PROMISED[name] for name in exported}


def name_of(instrument: Any) -> str:
    return instrument.name if hasattr(instrument, "name") else instrument._name  # prometheus_client's


def labels_of(instrument: Any) -> set[str]:
    return set(getattr(instrument, "_labelnames", ()) or getattr(instrument, "label_names", ()))


def test_units_stand_in_the_names():
    for family in families():
        if family.name.startswith("tta_") and any(word in family.name for word in ("duration", "age_", "bytes")):
            assert family.name.endswith(("_seconds", "_bytes"))
        assert ":" not in family.name and not family.name.endswith("_total")
