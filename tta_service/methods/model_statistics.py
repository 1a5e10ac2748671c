"""What the Open Inference Protocol's clients may ask about the past: counts and times of each model."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..wire.oip.models import VERSION
from ..wire.v1 import open_inference_pb2 as oip

STAGES: Mapping[str, tuple[str, ...]] = {  # the protocol's stages, of ours
    "queue": ("queue", "turn"),
    "compute_input": ("decode", "look"),
    "compute_infer": ("encode", "text", "adapt"),
}


@dataclass(slots=True)
class _Numbers:
    """Of one model."""

    requests: int = 0  # that were answered
    pictures: int = 0
    failures: int = 0
    last: int = 0  # Unix milliseconds
    failed_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # by our stages, and "total"


class ModelStatistics:
    """Cumulative counts and times by model, since the server's start."""

    def __init__(self) -> None:
        self._numbers = defaultdict[str, _Numbers](_Numbers)

    def add_success(self, model: str, pictures: int, seconds: Mapping[str, float]) -> None:
        """A request was answered: its number of pictures, and seconds by stage of its slowest one, with `total`."""
        numbers = self._numbers[model]
        for stage, spent in seconds.items():
            numbers.seconds[stage] += spent
        numbers.requests += 1
        numbers.pictures += pictures
        numbers.last = time.time_ns() // 1_000_000

    def add_failure(self, model: str, seconds: float) -> None:
        """A request was refused after so many seconds."""
        numbers = self._numbers[model]
        numbers.failures += 1
        numbers.failed_seconds += seconds

    def describe(self, models: Iterable[str]) -> oip.ModelStatisticsResponse:
        """The numbers of these models; the counts of all stages of one are equal."""
        reply = oip.ModelStatisticsResponse()
        for model in models:
            numbers = self._numbers.get(model, _Numbers())
            entry = reply.model_stats.add(
                name=model,
                version=VERSION,
                last_inference=numbers.last,
                inference_count=numbers.pictures,
                execution_count=numbers.requests,
            )
            statistics, total = entry.inference_stats, numbers.seconds["total"]
            spent = {name: sum(numbers.seconds[stage] for stage in stages) for name, stages in STAGES.items()}
            spent |= {"success": total, "compute_output": max(0.0, total - sum(spent.values()))}
            for name, seconds in spent.items():
                duration = getattr(statistics, name)
                duration.count, duration.ns = numbers.requests, round(seconds * 1e9)
            for name in ("cache_hit", "cache_miss"):
                getattr(statistics, name).SetInParent()
            statistics.fail.count, statistics.fail.ns = numbers.failures, round(numbers.failed_seconds * 1e9)
        return reply
