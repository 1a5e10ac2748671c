"""A stand-in for NVIDIA's library, which most machines lack: two GPUs, the second without a power sensor."""

from __future__ import annotations

from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from tta_service.telemetry.nvml import READ, GPUCollector


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
    registry.register(GPUCollector(library, clock=lambda: 0.0))
    values = {name: [registry.get_sample_value(name, {"device": str(i)}) for i in range(2)] for name in READ}
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
    collector = GPUCollector(library, clock=lambda: now[0])
    count_samples = lambda: sum(len(family.samples) for family in collector.collect())  # noqa: E731
    assert count_samples() == 9
    library.lost, now[0] = True, 6.0
    assert count_samples() == 0
    library.lost, now[0] = False, 12.0
    assert count_samples() == 9


def test_without_the_library_there_is_nothing():
    assert [family.samples for family in GPUCollector(None).collect()] == [[]] * len(READ)
