"""What a request holds of its session, where nobody else can reach that."""

from __future__ import annotations

import math
from collections.abc import Callable
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from ...confidence.calibration import UNCALIBRATED, Calibration
from ...confidence.decision import judge
from ...core.labels import LabelSet
from ...core.lesson_sums import LessonSums
from ...core.lessons import Lesson
from ...core.request import Report, Request, SessionStatus
from ...core.strategy import Strategy
from .memory import MemoryKey, MemorySlot
from .session import Session
from .turns import Turn, TurnQueue
from .watch import untaught_names

CalibrationOf = Callable[[Session, MemoryKey, LabelSet], Calibration]


class RequestScope:
    """A request whose session nobody else can reach: it has no name, and nothing is kept in it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._status: SessionStatus | None = None

    @property
    def remembers(self) -> bool:
        """Whether the picture is remembered: a later lesson can only be about a session that has a name."""
        return self._request.remember

    def turn(self, strategy: Strategy[Any]) -> Turn | None:
        """The place in the queue of that strategy's memory; None for a strategy without a memory in the session."""
        return None

    def admit(self, size: int) -> None:
        """Makes room for a new memory of `size` bytes. Raises `MemoryFull`."""

    def lessons_for(self, slot: MemorySlot) -> list[Lesson]:
        """The lessons that a memory learns when it begins now; none if it has begun."""
        return []

    def sums_for(self, slot: MemorySlot) -> list[LessonSums]:
        """What a memory learns from other sites when it begins now; none if it has begun."""
        return []

    def lowest_admitted(self) -> float:
        """The cosine under which no memory learns from the picture."""
        return -math.inf

    def conclude(self, report: Report, calibration_of: CalibrationOf) -> Report:
        """The report with how far its answer can be trusted and what warns of it, and perhaps remembered."""
        scores = report.scores, report.zero_shot_scores
        trust = judge(report.request.trust, UNCALIBRATED, *scores, report.cosine, none=none_of_these(report))
        return report.complete(trust=trust, cautions=untaught_names(report) if report.unseen else ())

    def fit_memories(self, start: Callable[[TurnQueue, Callable[[], Callable[[], None]]], None]) -> None:
        """Calls `start(queue, hold)` for each memory that learns from lessons; `hold()` keeps the session open."""

    def release_turns(self) -> None:
        """Gives up all turns: no memory changes through this request."""

    def count_frame(self, anew: bool = False, seen: bool = True) -> SessionStatus:
        """The session's status for the answer. The first call counts the frame, whatever the number of strategies.

        `anew`: a memory began with it. Not `seen`: it was answered, but no memory has learnt from it.
        """
        if self._status is None:
            last = self._request.frame_id if seen else None
            self._status = SessionStatus(token_hex(16), frames=1, last_frame_id=last or 0)
        return self._status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release_turns()


def none_of_these(report: Report) -> float:
    """The probability that the picture shows none of the classes, where the strategy says it; else 0."""
    return report.explanation.notes.get("none_of_these", 0.0) if report.explanation else 0.0
