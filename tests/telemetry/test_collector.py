"""The counts of the service are read at scrape time."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tta_service.telemetry.collector import Counts
from tta_service.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {"|".join([s.name, *s.labels.values()]): s.value for f in families for s in f.samples}


def test_each_scrape_reads_anew():
    metrics, moments = Metrics(()), iter([Counts(label_sets=1), Counts(label_sets=2)])
    metrics.register_counts(lambda: next(moments))
    assert [samples(metrics)["tta_label_sets"] for _ in range(2)] == [1, 2]


def test_all_counts_are_shown():
    counts = Counts(
        serving=True,
        queue_depth={"calls": 3},
        queue_limit={"calls": 256},
        queue_bytes={"streams": 9000},
        inflight_requests=6,
        heartbeat={"device": 1.6e9},
        memory_limit=1 << 32,
        activation_bytes=777,
        waiting_rows={"calls": 48, "tower": 16},
        sessions={"active": 2, "idle": 5},
        memory_bytes={"tda": 4096},
        label_sets=4,
        label_set_bytes=8192,
        text_hits=10,
        text_misses=4,
        text_evictions=1,
    )
    metrics = Metrics(())
    metrics.register_counts(lambda: counts)
    found = samples(metrics)
    assert found["tta_serving"] == 1
    assert (found["tta_queue_depth|calls"], found["tta_queue_limit|calls"]) == (3, 256)
    assert (found["tta_queue_bytes|streams"], found["tta_inflight_requests"]) == (9000, 6)
    assert found["tta_worker_heartbeat_timestamp_seconds|device"] == 1.6e9
    assert (found["tta_session_memory_limit_bytes"], found["tta_retained_activation_bytes"]) == (1 << 32, 777)
    assert (found["tta_waiting_rows|calls"], found["tta_waiting_rows|tower"]) == (48, 16)
    assert (found["tta_sessions|active"], found["tta_sessions|idle"]) == (2, 5)
    assert found["tta_session_memory_bytes|tda"] == 4096
    assert (found["tta_label_sets"], found["tta_label_set_bytes"]) == (4, 8192)
    cache = [found[f"tta_text_cache_{kind}_total"] for kind in ("hits", "misses", "evictions")]
    assert cache == [10, 4, 1]


def test_counts_cannot_be_registered_twice():
    metrics = Metrics(())
    metrics.register_counts(Counts)
    with pytest.raises(ValueError, match="tta_serving"):
        metrics.register_counts(Counts)
