"""What the Open Inference Protocol's clients may ask about the past: counts and times of each model."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from ..wire.oip.models import VERSION
from ..wire.v1 import open_inference_pb2 as oip

STAGES: Mapping[str, tuple[str, ...]] = {  # the protocol's stages, of ours
    "queue": ("queue", "turn"),
    "compute_input": ("decode", "look"),
    "compute_infer": ("encode", "text", "adapt"),
}


class ModelStatistics:
    """Cumulative counts and nanoseconds by model, since the server's start."""

    def __init__(self) -> None:
        self._numbers = defaultdict[str, Counter[str]](Counter)

    def add_success(self, model: str, pictures: int, seconds: Mapping[str, float]) -> None:
        """A request was answered: its number of pictures, and seconds by stage of its slowest one, with `total`."""
        numbers = self._numbers[model]
        spent = {name: sum(seconds.get(stage, 0.0) for stage in stages) for name, stages in STAGES.items()}
        spent["compute_output"] = max(0.0, seconds["total"] - sum(spent.values()))
        numbers.update({name: round(value * 1e9) for name, value in {**spent, "success": seconds["total"]}.items()})
        numbers.update(requests=1, pictures=pictures)
        numbers["last"] = time.time_ns() // 1_000_000

    def add_failure(self, model: str, seconds: float) -> None:
        """A request was refused after so many seconds."""
        self._numbers[model].update(failures=1, fail=round(seconds * 1e9))

    def describe(self, models: Iterable[str]) -> oip.ModelStatisticsResponse:
        """The numbers of these models; the counts of all stages of one are equal."""
        reply = oip.ModelStatisticsResponse()
        for model in models:
            numbers = self._numbers.get(model, Counter[str]())
            entry = reply.model_stats.add(
                name=model,
                version=VERSION,
                last_inference=numbers["last"],
                inference_count=numbers["pictures"],
                execution_count=numbers["requests"],
            )
            for stage in ("success", *STAGES, "compute_output"):
                duration = getattr(entry.inference_stats, stage)
                duration.count, duration.ns = numbers["requests"], numbers[stage]
            for stage in ("cache_hit", "cache_miss"):
                getattr(entry.inference_stats, stage).SetInParent()
            entry.inference_stats.fail.count, entry.inference_stats.fail.ns = numbers["failures"], numbers["fail"]
        return reply
