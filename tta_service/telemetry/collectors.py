"""Gauges that are read at scrape time. A scrape has its own thread, so it reads one published value, no live dicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from threading import Lock
from typing import Any

import torch
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def _metric(name: str, help: str, *labels: str, family: type = GaugeMetricFamily) -> Any:
    """A field of `Counts`, shown as this metric: one number, or with `labels` a number for each of their values."""
    make = partial(family, name, help, labels=labels)
    return field(default_factory=dict if labels else int, metadata={"make": make})


_counter = partial(_metric, family=CounterMetricFamily)


@dataclass(frozen=True, slots=True)
class Counts:
    """The state of the service at one moment, and the metrics that show it."""

    serving: bool = _metric("tta_serving", "1 while the device is healthy and requests are accepted.")
    insecure: bool = _metric("tta_insecure", "1 while server.insecure is set.")
    certificate_expiry: Mapping[str, float] = _metric(
        "tta_certificate_expiry_timestamp_seconds", "Unix time at which a certificate ends.", "certificate"
    )
    queue_depth: Mapping[str, int] = _metric("tta_queue_depth", "Requests queued.", "queue")
    waiting_rows: Mapping[str, int] = _metric("tta_waiting_rows", "Views queued.", "queue")
    queue_limit: Mapping[str, int] = _metric("tta_queue_limit", "Requests that the queue may hold.", "queue")
    queue_bytes: Mapping[str, int] = _metric("tta_queue_bytes", "Bytes of images queued.", "queue")
    heartbeat: Mapping[str, float] = _metric(
        "tta_worker_heartbeat_timestamp_seconds", "Unix time of the last work.", "worker"
    )
    inflight_requests: int = _metric("tta_inflight_requests", "Requests admitted and not answered yet.")
    inflight_rows: int = _metric("tta_inflight_rows", "Views of the requests in flight.")
    places_taken: Mapping[str, int] = _metric("tta_places_taken", "Work that has one of a few places.", "place")
    places_waiting: Mapping[str, int] = _metric("tta_places_waiting", "Work that waits for one.", "place")
    places_refused: Mapping[str, int] = _counter("tta_places_refused", "Work that was not let wait for one.", "place")
    sessions: Mapping[str, int] = _metric("tta_sessions", "Sessions in memory.", "state")
    worst_sessions: Mapping[tuple[str, str], float] = _metric(
        "tta_session_worst", "What speaks against the answers of the sessions of which most does.", "sign", "rank"
    )
    memory_bytes: Mapping[str, int] = _metric("tta_session_memory_bytes", "Bytes of all session memories.", "strategy")
    memory_limit: int = _metric("tta_session_memory_limit_bytes", "Bytes that session memories may take.")
    questions: int = _metric("tta_questions_waiting", "Questions that wait for a person.")
    questions_answered: int = _counter("tta_questions_answered", "Questions that a lesson has answered.")
    questions_asked: Mapping[str, int] = _counter("tta_questions_asked", "Questions asked.", "reason")
    questions_evicted: Mapping[str, int] = _counter("tta_questions_evicted", "Questions lost unanswered.", "reason")
    store_unavailable: bool = _metric("tta_store_unavailable", "1: the state store does not answer.")
    store_failures: int = _counter("tta_store_failures", "Calls of the state store that failed.")
    store_damaged: int = _counter("tta_store_damaged_records", "Records that were damaged and moved aside.")
    store_refused: int = _counter("tta_store_refused_records", "Records for which their owner's quota had no room.")
    decoders_ended: Mapping[str, int] = _counter(
        "tta_decoders_ended", "Processes that a picture has ended which they decoded.", "reason"
    )
    audit_failures: int = _counter("tta_audit_failures", "Lines of the audit log that could not be written.")
    strategies_disabled: Mapping[str, int] = _metric("tta_strategy_disabled", "1: it is switched off.", "strategy")
    sets_checked: Mapping[str, int] = _counter(
        "tta_prediction_sets_checked", "Prediction sets of frames that a person has named since.", "outcome"
    )
    drawn_answers: Mapping[str, int] = _counter(
        "tta_drawn_answers", "Answers to frames that were drawn and that a person has named since.", "outcome"
    )
    drawn_confidence: float = _counter("tta_drawn_confidence", "The sum of the confidences of those answers.")
    label_sets: int = _metric("tta_label_sets", "Label sets with cached text features.")
    label_set_bytes: int = _metric("tta_label_set_bytes", "Bytes of cached text features.")
    activation_bytes: int = _metric("tta_retained_activation_bytes", "Bytes kept for backward passes.")
    text_hits: int = _counter("tta_text_cache_hits", "Label sets found in the text cache.")
    text_misses: int = _counter("tta_text_cache_misses", "Label sets that had to be encoded.")
    text_evictions: int = _counter("tta_text_cache_evictions", "Label sets evicted from the text cache.")


class PullCollector(Collector):
    """Families that are `read` at scrape time; `empty` are the same ones without values, for the registry."""

    def __init__(self, read: Callable[[], Iterable[Metric]], empty: Iterable[Metric]) -> None:
        self._read, self._empty = read, empty

    def describe(self) -> Iterable[Metric]:
        """The families without values."""
        return self._empty

    def collect(self) -> Iterable[Metric]:
        """The families with the values of now."""
        return self._read()


def show_counts(counts: Counts) -> list[Metric]:
    """One metric family for each field."""
    families: list[Metric] = []
    for one in fields(counts):
        families.append(family := one.metadata["make"]())
        value = getattr(counts, one.name)
        for key, number in value.items() if isinstance(value, Mapping) else [(None, value)]:
            family.add_metric([] if key is None else key if isinstance(key, tuple) else [key], number)
    return families


def read_allocator() -> list[Metric]:
    """The memory of PyTorch's allocator on each GPU; no samples while none is in use."""
    allocated = GaugeMetricFamily("tta_cuda_allocated_bytes", "Bytes of live tensors.", labels=["device"])
    reserved = GaugeMetricFamily("tta_cuda_reserved_bytes", "Bytes reserved from the driver.", labels=["device"])
    for device in range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []:
        allocated.add_metric([str(device)], torch.cuda.memory_allocated(device))
        reserved.add_metric([str(device)], torch.cuda.memory_reserved(device))
    return [allocated, reserved]


GPU_GAUGES: Mapping[str, tuple[str, Callable[[Any, Any], float]]] = {
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


class GPUReader:
    """Reads NVML at most once in `every` seconds, since a read may take milliseconds.

    A value that a GPU does not offer is left out.
    """

    def __init__(self, nvml: Any | None, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml, self._every, self._clock, self._lock = nvml, every, clock, Lock()
        self._read_at, self._last = -float("inf"), gpu_families()

    def read(self) -> Sequence[Metric]:
        """The families with the values of the last read, one sample for each GPU."""
        with self._lock:
            if self._nvml is not None and self._clock() - self._read_at >= self._every:
                self._read_at, self._last = self._clock(), self._read(self._nvml)
            return self._last

    def _read(self, nvml: Any) -> list[GaugeMetricFamily]:
        families = gpu_families()
        try:
            gpus = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            return families
        for family in families:
            for index, gpu in enumerate(gpus):
                try:
                    family.add_metric([str(index)], GPU_GAUGES[family.name][1](nvml, gpu))
                except nvml.NVMLError:
                    continue
        return families


def gpu_families() -> list[GaugeMetricFamily]:
    """The families of `GPU_GAUGES`, without values."""
    return [GaugeMetricFamily(name, help, labels=["device"]) for name, (help, _) in GPU_GAUGES.items()]
