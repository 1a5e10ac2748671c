"""Gauges that are read at scrape time. A scrape has its own thread, so it reads one published value, no live dicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from threading import Lock
from typing import Any

import torch
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Counts:
    """The state of the service at one moment."""

    serving: bool = False
    queue_depth: Mapping[str, int] = field(default_factory=dict[str, int])  # requests waiting, by queue
    waiting_rows: Mapping[str, int] = field(default_factory=dict[str, int])  # their rows, by queue
    queue_limit: Mapping[str, int] = field(default_factory=dict[str, int])  # requests that may wait, by queue
    queue_bytes: Mapping[str, int] = field(default_factory=dict[str, int])  # of images that wait
    inflight_rows: int = 0  # of the admitted requests
    inflight_requests: int = 0  # admitted and not answered yet
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
    """`Counts` as Prometheus families."""

    def __init__(self, read: ReadCounts) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The families without values, for the registry."""
        return families(Counts())

    def collect(self) -> Iterable[Metric]:
        """The families of the current counts."""
        return families(self._read())


class DeviceCollector(Collector):
    """The memory of PyTorch's allocator on each GPU; no samples while none is in use."""

    def describe(self) -> Iterable[Metric]:
        """The families without values, for the registry."""
        return _device_memory([])

    def collect(self) -> Iterable[Metric]:
        """The families with one sample for each GPU."""
        return _device_memory(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else [])


def families(counts: Counts) -> list[Metric]:
    """One metric family for each field."""
    return [
        _gauge("tta_serving", "1 while the device is healthy and requests are accepted.", counts.serving),
        _gauges("tta_queue_depth", "Requests queued.", "queue", counts.queue_depth),
        _gauges("tta_waiting_rows", "Views queued.", "queue", counts.waiting_rows),
        _gauges("tta_queue_limit", "Requests that the queue may hold.", "queue", counts.queue_limit),
        _gauges("tta_queue_bytes", "Bytes of images queued.", "queue", counts.queue_bytes),
        _gauges("tta_worker_heartbeat_timestamp_seconds", "Unix time of the last work.", "worker", counts.heartbeat),
        _gauge("tta_inflight_requests", "Requests admitted and not answered yet.", counts.inflight_requests),
        _gauge("tta_inflight_rows", "Views of the requests in flight.", counts.inflight_rows),
        _gauges("tta_sessions", "Sessions in memory.", "state", counts.sessions),
        _gauges("tta_session_memory_bytes", "Bytes of all session memories.", "strategy", counts.memory_bytes),
        _gauge("tta_session_memory_limit_bytes", "Bytes that session memories may take.", counts.memory_limit),
        _gauge("tta_label_sets", "Label sets with cached text features.", counts.label_sets),
        _gauge("tta_label_set_bytes", "Bytes of cached text features.", counts.label_set_bytes),
        _gauge("tta_retained_activation_bytes", "Bytes kept for backward passes.", counts.activation_bytes),
        _counter("tta_text_cache_hits", "Label sets found in the text cache.", counts.text_hits),
        _counter("tta_text_cache_misses", "Label sets that had to be encoded.", counts.text_misses),
        _counter("tta_text_cache_evictions", "Label sets evicted from the text cache.", counts.text_evictions),
    ]


def _device_memory(devices: Iterable[int]) -> list[Metric]:
    allocated = GaugeMetricFamily("tta_cuda_allocated_bytes", "Bytes of live tensors.", labels=["device"])
    reserved = GaugeMetricFamily("tta_cuda_reserved_bytes", "Bytes reserved from the driver.", labels=["device"])
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


READ: Mapping[str, tuple[str, Callable[[Any, Any], float]]] = {
    "tta_gpu_utilization_ratio": (
        "Share of the last sampling period in which a kernel ran.",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    "tta_gpu_memory_used_bytes": (
        "Memory that all processes use on the device.",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    "tta_gpu_memory_total_bytes": (
        "Memory of the device.",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    "tta_gpu_power_watts": ("Power draw.", lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
    "tta_gpu_temperature_celsius": (
        "Temperature of the chip.",
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    ),
}


def load_nvml() -> Any | None:
    """The initialised NVML module; None where it is not installed or finds no driver."""
    try:
        nvml = import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed, no driver or no device
        return None
    return nvml


class GPUCollector(Collector):
    """Reads NVML at most once in `every` seconds, since a read may take milliseconds.

    A value that a GPU does not offer is left out.
    """

    def __init__(self, nvml: Any | None, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml, self._every, self._clock, self._lock = nvml, every, clock, Lock()
        self._read_at, self._last = -float("inf"), _gpu_families()

    def describe(self) -> Iterable[Metric]:
        """The families without values, for the registry."""
        return _gpu_families()

    def collect(self) -> Iterable[Metric]:
        """The families with the values of the last read, one sample for each GPU."""
        with self._lock:
            if self._nvml is not None and self._clock() - self._read_at >= self._every:
                self._read_at, self._last = self._clock(), self._read(self._nvml)
            return self._last

    def _read(self, nvml: Any) -> list[GaugeMetricFamily]:
        families = _gpu_families()
        try:
            gpus = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            return families
        for family in families:
            for index, gpu in enumerate(gpus):
                try:
                    family.add_metric([str(index)], READ[family.name][1](nvml, gpu))
                except nvml.NVMLError:
                    continue
        return families


def _gpu_families() -> list[GaugeMetricFamily]:
    return [GaugeMetricFamily(name, help, labels=["device"]) for name, (help, _) in READ.items()]
