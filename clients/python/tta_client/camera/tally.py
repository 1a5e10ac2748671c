"""What a camera shows of itself: the counters of its way, and what became of its answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..answers import FrameAnswer, FrameFailure
from ..statistics import Statistics


class Tally:
    """Counts answers on top of a stream's own `statistics`."""

    def __init__(self, statistics: Statistics | None = None) -> None:
        self.statistics = statistics or Statistics()
        self.flips = self.degraded = 0
        self.strategies = Counter[str]()

    def count(self, result: FrameAnswer | FrameFailure) -> None:
        if isinstance(result, FrameAnswer):
            self.flips += result.answer.flipped
            self.degraded += result.answer.degraded is not None
            self.strategies[result.answer.strategy.name] += 1

    @property
    def complete(self) -> bool:
        """No frame failed, and none was no picture. What was damaged in a video before it came here is only told."""
        told = self.statistics
        return not told.failures and told.dropped["unreadable"] <= told.damaged

    def summary(self) -> dict[str, Any]:
        mine = {"flips": self.flips, "degraded": self.degraded, "strategies": dict(self.strategies)}
        return self.statistics.summary() | mine

    def sentence(self) -> str:
        told = f"{self.statistics.sentence()}; {self.flips} flips"
        return told + (f", {self.degraded} degraded" if self.degraded else "")
