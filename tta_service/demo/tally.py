"""The demo's counts of answers and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tta_client import Answer


@dataclass(slots=True)
class Tally:
    """The answers of one strategy, or of all."""

    answers: int = 0
    failed: int = 0
    flips: int = 0  # answers whose label adaptation changed
    seconds: list[float] = field(default_factory=list[float])  # in the service, arrival to answer

    @property
    def frames(self) -> int:
        """Frames with a reply."""
        return self.answers + self.failed


class Count:
    """A tally of each strategy and of all; `memory` of the session in bytes, `latest` the last reply in words."""

    def __init__(self, strategies: Sequence[str], started: float) -> None:
        self.started, self.memory, self.latest = started, 0, ""
        self.all, self.by_strategy = Tally(), {name: Tally() for name in strategies}

    @property
    def frames(self) -> int:
        """Frames with a reply, of all strategies."""
        return self.all.frames

    def add_answer(self, strategy: str, answer: Answer, scene: str) -> None:
        """Count an answer to a picture of `scene`."""
        for tally in (self.all, self.by_strategy[strategy]):
            tally.answers += 1
            tally.flips += answer.flipped
            tally.seconds.append(answer.timings.total)
        self.memory = answer.session.memory_bytes
        zero_shot = f" (zero-shot: {answer.zero_shot[0].label})" if answer.flipped else ""
        self.latest = f"{scene}: {answer.label} {answer.score:.2f}{zero_shot} by {strategy}"

    def add_failure(self, strategy: str, message: str) -> None:
        """Count a frame that failed with `message`."""
        for tally in (self.all, self.by_strategy[strategy]):
            tally.failed += 1
        self.latest = message


def percentile(seconds: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of them do not exceed; 0 of none."""
    rank = -(-percent * len(seconds) // 100)
    return sorted(seconds)[max(0, rank - 1)] if seconds else 0.0
