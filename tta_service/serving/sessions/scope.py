"""How a request holds a session: its turns, and what the session remembers of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from secrets import token_hex
from types import TracebackType
from typing import Any

from torch import Tensor

from ...confidence.calibration import UNCALIBRATED
from ...core.caution import Caution
from ...core.lesson_sums import LessonSums
from ...core.lessons import Example, Lesson, Question, Reason
from ...core.request import Report, Request, SessionStatus
from ...core.strategy import Strategy, is_teachable
from ...core.trust import Drawn, Trust
from .memory import MemoryKey, MemorySlot, reduction_of
from .registry import SessionRegistry
from .request_scope import CalibrationOf, RequestScope, none_of_these
from .session import Session
from .turns import Turn, TurnQueue

log = logging.getLogger(__name__)


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
        return self._remember(report, report.example, trust, cautions)

    def _remember(self, report: Report, views: Tensor, trust: Trust, cautions: tuple[Caution, ...]) -> Report:
        """Remembers the picture for lessons, and perhaps as a question; the report that says so."""
        request, session, drawn = self._request, self._session, None
        reason = self._choose_reason(report, trust, cautions)
        if reason is Reason.UNIFORM:
            held = trust.prediction_set if trust.guaranteed else None
            drawn = Drawn(repr(report.strategy), report.logits, held, trust.confidence)
        example = Example(
            id=f"seen-{token_hex(12)}",
            views=views,
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
        return report.complete(example_id=example.id, asked=asked, cautions=cautions)

    def _choose_reason(self, report: Report, trust: Trust, cautions: tuple[Caution, ...]) -> Reason | None:
        """Why a person is asked about the picture. A number of questions an hour decides in place of other options."""
        session, per_hour = self._session, self._request.trust.ask_per_hour
        place = f"{session.id} {session.frames}"
        if per_hour is None:
            reason = session.trust.choose_reason(report, trust, place)
        else:
            reason = session.asking.choose(per_hour, report, session.lessons, session.questions, place)
            reason = Reason.ASKED if self._request.ask else reason
        if session.watch.should_ask(cautions, lambda: session.questions.count(Reason.COLLAPSED)):
            reason = reason or Reason.COLLAPSED
        return reason

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
