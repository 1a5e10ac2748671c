"""Gauges pulled at scrape time. A scrape runs in a foreign thread: it reads one published value, never live dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Counts:
    """What the serving room publishes about itself, at one moment."""

    serving: bool = False
    queue_depth: Mapping[str, int] = field(default_factory=dict[str, int])  # requests waiting, by queue
    waiting_rows: Mapping[str, int] = field(default_factory=dict[str, int])  # their rows, by queue
    queue_limit: Mapping[str, int] = field(default_factory=dict[str, int])  # requests that may wait, by queue
    queue_bytes: Mapping[str, int] = field(default_factory=dict[str, int])  # of images that wait
    inflight_rows: int = 0  # of the requests that are inside
    inflight_requests: int = 0
    heartbeat: Mapping[str, float] = field(default_factory=dict[str, float])  # unix seconds by worker
    sessions: Mapping[str, int] = field(default_factory=dict[str, int])  # by state
    memory_bytes: Mapping[str, int] = field(default_factory=dict[str, int])  # session memories by strategy
    memory_limit: int = 0  # bytes that all session memories may take
    label_sets: int = 0  # whose features are in the cache
    label_set_bytes: int = 0
    activation_bytes: int = 0  # what text spaces keep for backward passes
    text_hits: int = 0
    text_misses: int = 0
    text_evictions: int = 0


ReadCounts = Callable[[], Counts]


class CountsCollector(Collector):
    """The serving room's counters as Prometheus families."""

    def __init__(self, read: ReadCounts) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return families(Counts())

    def collect(self) -> Iterable[Metric]:
        return families(self._read())


class DeviceCollector(Collector):
    """What PyTorch's allocator holds on each GPU; nothing where none is in use."""

    def describe(self) -> Iterable[Metric]:
        return _device_memory([])

    def collect(self) -> Iterable[Metric]:
        return _device_memory(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else [])


def families(counts: Counts) -> list[Metric]:
    """One family for each field."""
    return [
        _gauge("tta_serving", "1 while the device answers and requests are taken.", counts.serving),
        _gauges("tta_queue_depth", "Requests that wait.", "queue", counts.queue_depth),
        _gauges("tta_waiting_rows", "Views that wait.", "queue", counts.waiting_rows),
        _gauges("tta_queue_limit", "Requests that may wait.", "queue", counts.queue_limit),
        _gauges("tta_queue_bytes", "Bytes of images that wait.", "queue", counts.queue_bytes),
        _gauges("tta_worker_heartbeat_timestamp_seconds", "When it last did its work.", "worker", counts.heartbeat),
        _gauge("tta_inflight_requests", "Requests inside the hallway.", counts.inflight_requests),
        _gauge("tta_inflight_rows", "Views of the requests inside the hallway.", counts.inflight_rows),
        _gauges("tta_sessions", "Sessions held.", "state", counts.sessions),
        _gauges("tta_session_memory_bytes", "Tensors of all session memories.", "strategy", counts.memory_bytes),
        _gauge("tta_session_memory_limit_bytes", "What they may take.", counts.memory_limit),
        _gauge("tta_label_sets", "Label sets whose features are cached.", counts.label_sets),
        _gauge("tta_label_set_bytes", "Their bytes.", counts.label_set_bytes),
        _gauge("tta_retained_activation_bytes", "What they keep for backward passes.", counts.activation_bytes),
        _counter("tta_text_cache_hits", "Label sets found encoded.", counts.text_hits),
        _counter("tta_text_cache_misses", "Label sets that had to be encoded.", counts.text_misses),
        _counter("tta_text_cache_evictions", "Encoded label sets given up.", counts.text_evictions),
    ]


def _device_memory(devices: Iterable[int]) -> list[Metric]:
    allocated = GaugeMetricFamily("tta_cuda_allocated_bytes", "Bytes of live tensors.", labels=["device"])
    reserved = GaugeMetricFamily("tta_cuda_reserved_bytes", "Bytes held from the driver.", labels=["device"])
    for device in devices:
        allocated.add_metric([str(device)], torch.cuda.memory_allocated(device))
        reserved.add_metric([str(device)], torch.cuda.memory_reserved(device))
    return [allocated, reserved]


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def _counter(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(name, help, value=value)


def _gauges(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
