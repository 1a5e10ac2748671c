"""Gauges of each GPU from NVIDIA's management library (NVML); none without a GPU or without `nvidia-ml-py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from threading import Lock
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

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
        self._read_at, self._last = -float("inf"), _families()

    def describe(self) -> Iterable[Metric]:
        """The families without values, for the registry."""
        return _families()

    def collect(self) -> Iterable[Metric]:
        """The families with the values of the last read, one sample for each GPU."""
        with self._lock:
            if self._nvml is not None and self._clock() - self._read_at >= self._every:
                self._read_at, self._last = self._clock(), self._read(self._nvml)
            return self._last

    def _read(self, nvml: Any) -> list[GaugeMetricFamily]:
        families = _families()
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


def _families() -> list[GaugeMetricFamily]:
    return [GaugeMetricFamily(name, help, labels=["device"]) for name, (help, _) in READ.items()]
