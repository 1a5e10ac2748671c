"""How a request holds a session: its turns, and what the session remembers of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from secrets import token_hex
from types import TracebackType
from typing import Any

from ...confidence.calibration import Calibration
from ...core.labels import LabelSet
from ...core.lesson_sums import LessonSums
from ...core.lessons import Example, Lesson, Question, Reason
from ...core.request import Report, Request, SessionStatus
from ...core.strategy import Strategy, is_teachable
from ...core.trust import Drawn, Trust
from .memory import MemoryKey, MemorySlot, reduction_of
from .registry import SessionRegistry
from .session import Session
from .turns import Turn, TurnQueue

CalibrationOf = Callable[[Session, MemoryKey, LabelSet], Calibration]


class SessionScope:
    """The turns of a request, all taken on admission. The end of the `with` block gives up those that are left.

    `on_exit` is called at the end of the block; None: the session is in no list, and nobody else can reach it.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        session: Session,
        request: Request,
        turns: Mapping[Strategy[Any], Turn],
        on_exit: Callable[[], None] | None,
    ) -> None:
        self._registry, self._session, self._request, self._turns = registry, session, request, turns
        self._on_exit = on_exit
        self._status: SessionStatus | None = None

    @property
    def remembers(self) -> bool:
        """Whether the picture is remembered: a later lesson can only be about a session that has a name."""
        request = self._request
        return request.remember or (
            bool(request.session) and (request.ask or request.trust.may_ask or self._session.recent_limit > 0)
        )

    def admit(self, size: int) -> None:
        """Makes room for a new memory of `size` bytes. Raises `MemoryFull`."""
        self._registry.room.admit(self._session, size)

    def turn(self, strategy: Strategy[Any]) -> Turn | None:
        """The place in the queue of that strategy's memory; None for a strategy without a memory in the session."""
        return self._turns.get(strategy)

    def fit_memories(self, start: Callable[[TurnQueue, Callable[[], Callable[[], None]]], None]) -> None:
        """Calls `start(queue, hold)` for each memory that learns from lessons; `hold()` keeps the session open."""
        for strategy in filter(is_teachable, self._turns):
            queue = self._session.memories.get(MemoryKey.of(self._request, strategy))
            if queue is not None:
                start(queue, partial(self._registry.hold, self._session, used=False))

    def lessons_for(self, slot: MemorySlot) -> list[Lesson]:
        """The lessons that a memory learns when it begins now; none if it has begun."""
        if slot.begun or not is_teachable(slot.key.strategy):
            return []
        slot.learnt = self._session.lessons.last
        return self._session.lessons.matching(slot.key)

    def sums_for(self, slot: MemorySlot) -> list[LessonSums]:
        """What a memory learns from other sites when it begins now; none if it has begun."""
        group = self._session.group
        return group.sums_for(slot.key) if group and not slot.begun else []

    def lowest_admitted(self) -> float:
        """The cosine under which no memory learns from the picture."""
        return self._session.trust.lowest_admitted(self._request.labels.id, self._request.trust.admit_below)

    def judge(self, report: Report, calibration_of: CalibrationOf) -> Report:
        """The report with how far its answer can be trusted."""
        request, session, calibration = self._request, self._session, Calibration()
        if request.trust.draws:
            calibration = calibration_of(session, MemoryKey.of(request, report.strategy), request.labels)
        none = report.explanation.notes.get("none_of_these", 0.0) if report.explanation else 0.0
        return replace(report, trust=session.trust.judge(report, calibration, none))

    def warn(self, report: Report) -> Report:
        """The report with what warns of its answer."""
        session = self._session
        return replace(report, cautions=session.watch.observe(report, taught=len(session.lessons) > 0))

    def remember(self, report: Report) -> Report:
        """Remembers the picture for lessons, and perhaps as a question; the report that says so."""
        request, trust = self._request, report.trust
        if report.example is None or trust is None or not request.session:
            return report
        session, drawn = self._session, None
        reason = self._choose_reason(report, trust)
        if reason is Reason.UNIFORM:
            held = trust.prediction_set if trust.guaranteed else None
            drawn = Drawn(repr(report.strategy), report.logits, held, trust.confidence)
        example = Example(
            id=f"seen-{token_hex(12)}",
            views=report.example,
            labels=request.labels,
            reduction=reduction_of(request),
            seen=time.time(),
            frame_id=request.frame_id,
            request_id=request.request_id,
            thumbnail=report.thumbnail,
            drawn=drawn,
        )
        self._registry.room.remember(self._session, example)
        asked = reason is not None and self._registry.room.ask(self._session, Question(example, report.logits, reason))
        if asked and request.trust.ask_per_hour is not None and reason in (Reason.INFORMATIVE, Reason.UNIFORM):
            session.asking.count()
        return replace(report, example_id=example.id, asked=asked)

    def _choose_reason(self, report: Report, trust: Trust) -> Reason | None:
        """Why a person is asked about the picture. A number of questions an hour decides in place of other options."""
        session, per_hour = self._session, self._request.trust.ask_per_hour
        place = f"{session.id} {session.frames}"
        if per_hour is None:
            reason = session.trust.choose_reason(report, trust, place)
        else:
            reason = session.asking.choose(per_hour, report, session.lessons, session.questions, place)
            reason = Reason.ASKED if self._request.ask else reason
        if session.watch.should_ask(report.cautions, lambda: session.questions.count(Reason.COLLAPSED)):
            reason = reason or Reason.COLLAPSED
        return reason

    def release_turns(self) -> None:
        """Gives up all turns: no memory changes through this request."""
        for turn in self._turns.values():
            turn.leave()

    def count_frame(self, anew: bool = False, seen: bool = True) -> SessionStatus:
        """The session's status for the answer. The first call counts the frame, whatever the number of strategies.

        `anew`: a memory began with it. Not `seen`: it was answered, but no memory has learnt from it.
        """
        if self._status is None:
            self._status = self._session.count_frame(self._request.frame_id if seen else None, anew)
        else:
            reset = self._status.memory_reset or anew
            self._status = replace(self._status, memory_bytes=self._session.bytes, memory_reset=reset)
        return self._status

    def __enter__(self) -> SessionScope:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release_turns()
        if self._on_exit is not None:
            self._on_exit()
