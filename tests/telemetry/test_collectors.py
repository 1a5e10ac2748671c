"""The counts of the service are read at scrape time; so are GPUs.

NVIDIA's library, which most machines lack, has a stand-in: two GPUs, the second without a power sensor.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.conftest import scrape
from tta_service.telemetry.collectors import GPU_GAUGES, Counts, GPUReader, PullCollector, gpu_families
from tta_service.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(scrape(metrics))
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


class Library:
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.reads, self.lost = 0, False

    def nvmlDeviceGetCount(self) -> int:
        self.reads += 1
        if self.lost:
            raise self.NVMLError("GPU is lost")
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=25)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(used=3 << 30, total=8 << 30)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        if gpu == 1:
            raise self.NVMLError("Not Supported")
        return 71500

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        return 40 + gpu


def test_every_gpu_reports_what_it_offers_in_base_units():
    registry, library = CollectorRegistry(), Library()
    registry.register(PullCollector(GPUReader(library, clock=lambda: 0.0).read, gpu_families()))
    values = {name: [registry.get_sample_value(name, {"device": str(i)}) for i in range(2)] for name in GPU_GAUGES}
    assert values == {
        "tta_gpu_utilization_ratio": [0.25, 0.25],
        "tta_gpu_memory_used_bytes": [3 << 30, 3 << 30],
        "tta_gpu_memory_total_bytes": [8 << 30, 8 << 30],
        "tta_gpu_power_watts": [71.5, None],
        "tta_gpu_temperature_celsius": [40, 41],
    }
    assert library.reads == 1  # all values come from one read


def test_a_lost_gpu_has_no_samples_until_it_comes_back():
    library, now = Library(), [0.0]
    reader = GPUReader(library, clock=lambda: now[0])
    count_samples = lambda: sum(len(family.samples) for family in reader.read())  # noqa: E731
    assert count_samples() == 9
    library.lost, now[0] = True, 6.0
    assert count_samples() == 0
    library.lost, now[0] = False, 12.0
    assert count_samples() == 9


def test_without_the_library_there_is_nothing():
    assert [family.samples for family in GPUReader(None).read()] == [[]] * len(GPU_GAUGES)
