"""What a camera counts: answers, failures, drops, flips, ages. Bounded, however long it runs."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import Any

from ..answers import FrameAnswer, FrameFailure


class Tally:
    """Percentiles are over the last 10,000 answers."""

    def __init__(self) -> None:
        self.answers = self.failures = self.dropped = self.flips = self.degraded = 0
        self.strategies = Counter[str]()
        self._ages = deque[float](maxlen=10_000)
        self._began = time.monotonic()

    def count(self, result: FrameAnswer | FrameFailure) -> None:
        if isinstance(result, FrameFailure):
            self.failures += 1
            return
        self.answers += 1
        self.dropped += result.dropped_since_last
        self.flips += result.answer.flipped
        self.degraded += result.answer.degraded is not None
        self.strategies[result.answer.strategy.name] += 1
        if math.isfinite(result.age):
            self._ages.append(result.age)

    def age(self, fraction: float) -> float:
        """The age in seconds that this fraction of the answers did not pass."""
        ages = sorted(self._ages)
        return ages[min(len(ages) - 1, int(fraction * len(ages)))] if ages else 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def summary(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "failures": self.failures,
            "dropped": self.dropped,
            "flips": self.flips,
            "degraded": self.degraded,
            "strategies": dict(self.strategies),
            "age_p50": round(self.age(0.5), 4),
            "age_p95": round(self.age(0.95), 4),
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(self.answers / max(self.seconds, 1e-9), 2),
        }

    def sentence(self) -> str:
        told = (
            f"{self.answers} answers, {self.failures} failures, {self.dropped} dropped, {self.flips} flips; "
            f"age p50 {self.age(0.5) * 1000:.0f} ms, p95 {self.age(0.95) * 1000:.0f} ms; "
            f"{self.answers / max(self.seconds, 1e-9):.1f} answers/s"
        )
        return told + (f"; {self.degraded} degraded" if self.degraded else "")
