"""What a camera shows of itself: the counters of its way, and what became of its answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure


class Tally:
    """Counts answers on top of a stream's own `statistics`."""

    def __init__(self, statistics: Statistics | None = None) -> None:
        self.statistics = statistics or Statistics()
        self.flips = self.degraded = 0
        self.strategies = Counter[str]()
        self.unseen: dict[str, None] = {}  # labels that the text tower was never taught

    def count(self, result: FrameAnswer | FrameFailure) -> list[str]:
        """Returns the `unseen` labels that nobody has told of before."""
        new = list[str]()
        if isinstance(result, FrameAnswer):
            new = [name for name in result.answer.unseen if name not in self.unseen]
            self.unseen.update(dict.fromkeys(new))
            self.flips += result.answer.flipped
            self.degraded += result.answer.degraded is not None
            self.strategies[result.answer.strategy.name] += 1
        return new

    @property
    def complete(self) -> bool:
        """No frame failed, and none was no picture. What was damaged in a video before it came here is only told."""
        told = self.statistics
        return not told.failures and told.dropped["unreadable"] <= told.damaged

    def summary(self) -> dict[str, Any]:
        mine = {"flips": self.flips, "degraded": self.degraded, "strategies": dict(self.strategies)}
        return self.statistics.summary() | mine | ({"unseen": list(self.unseen)} if self.unseen else {})

    def sentence(self) -> str:
        text = f"{self.statistics.sentence()}; {self.flips} flips"
        return text + (f", {self.degraded} degraded" if self.degraded else "")
