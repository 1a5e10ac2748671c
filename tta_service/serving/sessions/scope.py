"""How a request holds its session: its turns there, and what comes of its answer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from ...confidence.calibration import UNCALIBRATED, Calibration
from ...confidence.decision import judge
from ...core.labels import LabelSet
from ...core.lesson_sums import LessonSums
from ...core.lessons import Lesson
from ...core.request import Report, Request, SessionStatus
from ...core.strategy import Scope, Strategy, is_teachable, needs_of
from .memory import MemoryKey, MemorySlot
from .registry import SessionRegistry
from .remembering import remember_answer
from .session import Session
from .turns import Turn, TurnQueue
from .watch import untaught_names

CalibrationOf = Callable[[Session, MemoryKey, LabelSet], Calibration]
log = logging.getLogger(__name__)


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


class SessionScope(RequestScope):
    """The turns of a request, all taken on admission. The end of the `with` block gives up those that are left.

    `on_exit` is called at the end of the block.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        session: Session,
        request: Request,
        turns: Mapping[Strategy[Any], Turn],
        on_exit: Callable[[], None],
    ) -> None:
        super().__init__(request)
        self._registry, self._session, self._turns, self._on_exit = registry, session, turns, on_exit

    @property
    def remembers(self) -> bool:
        request = self._request
        return request.remember or (
            bool(request.session) and (request.ask or request.trust.may_ask or self._session.recent_limit > 0)
        )

    def admit(self, size: int) -> None:
        self._registry.room.admit(self._session, size)

    def turn(self, strategy: Strategy[Any]) -> Turn | None:
        return self._turns.get(strategy)

    def fit_memories(self, start: Callable[[TurnQueue, Callable[[], Callable[[], None]]], None]) -> None:
        for strategy, turn in self._turns.items():
            queue = self._session.memories.get(turn.slot.key) if is_teachable(strategy) else None
            if queue is not None:
                start(queue, partial(self._registry.hold, self._session, used=False))

    def lessons_for(self, slot: MemorySlot) -> list[Lesson]:
        if slot.begun or not is_teachable(slot.key.strategy):
            return []
        slot.learnt = self._session.lessons.last
        return self._session.lessons.matching(slot.key)

    def sums_for(self, slot: MemorySlot) -> list[LessonSums]:
        group = self._session.group
        return group.sums_for(slot.key) if group and not slot.begun else []

    def lowest_admitted(self) -> float:
        below = self._request.trust.admit_below
        return self._session.trust.lowest_admitted(self._request.labels.id, below) if below else -math.inf

    def conclude(self, report: Report, calibration_of: CalibrationOf) -> Report:
        request, session, calibration = self._request, self._session, UNCALIBRATED
        if request.trust.draws:
            calibration = calibration_of(session, MemoryKey.of(request, report.strategy), request.labels)
        trust = session.trust.judge(report, calibration, none_of_these(report))
        report = report.complete(trust=trust)
        cautions = session.watch.observe(report, taught=len(session.lessons) > 0)
        if alarms := session.watch.new_alarms():
            signs = ", ".join(f"{sign} {session.watch.signs[sign]:.2g}" for sign in alarms)
            log.warning(
                "the answers of session %s of %s are doubtful: %s", session.id, session.owner or "nobody", signs
            )
        if report.example is None or not request.session:
            return report.complete(cautions=cautions)
        return remember_answer(self._registry.room, session, report, report.example, trust, cautions)

    def release_turns(self) -> None:
        for turn in self._turns.values():
            turn.leave()

    def count_frame(self, anew: bool = False, seen: bool = True) -> SessionStatus:
        if self._status is None:
            self._status = self._session.count_frame(self._request.frame_id if seen else None, anew)
        else:
            reset = self._status.memory_reset or anew
            self._status = replace(self._status, memory_bytes=self._session.bytes, memory_reset=reset)
        return self._status

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release_turns()
        self._on_exit()


def none_of_these(report: Report) -> float:
    """The probability that the picture shows none of the classes, where the strategy says it; else 0."""
    return report.explanation.notes.get("none_of_these", 0.0) if report.explanation else 0.0


def open_scope(registry: SessionRegistry, request: Request) -> RequestScope:
    """Takes all turns of the request at once; use it in a `with` block. An empty id opens a session for this call.

    Without a memory to keep, that session is in no list, and ends without an event.

    Raises `BadRequest` for a malformed id, `MemoryFull` when there are too many sessions.
    """
    strategies = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    remembering = [strategy for strategy in strategies if needs_of(strategy).memory is Scope.SESSION]
    if not request.session and not remembering:
        return RequestScope(request)
    session = registry.obtain(request.owner, request.session)
    if request.group:
        registry.join(session, request.group)
    on_exit = registry.hold(session)
    turns = {
        strategy: session.queue(MemoryKey.of(request, strategy), request.labels).enqueue(registry.hold(session))
        for strategy in remembering
    }
    return SessionScope(registry, session, request, turns, on_exit)
