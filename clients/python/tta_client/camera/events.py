"""What is worth acting on: a camera's label changes, a frame needs a person, something is lost or back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from ..types.answers import FrameAnswer
from .masking import mask_secrets
from .results import Result

Kind = Literal["changed", "deferred", "none_of_these", "lost", "back"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one camera. `state` is the label that holds from now on; empty: none does.

    With smoothing that is the stable label; without it, the label of the last answer that was not deferred. What is
    about a frame is empty, or None, for a loss and a return.
    """

    id: str  # equal in all deliveries of one event
    event: Kind
    camera: str
    session: str
    time: str  # when the frame was captured, else when it was noticed; ISO 8601, UTC
    state: str
    previous: str  # the state before
    reason: str = ""  # what is lost or back, and why
    frame: int | None = None
    label: str = ""
    confidence: float | None = None
    zero_shot: str = ""
    decision: str = ""
    example: str = ""  # of the frame in its session, for a lesson about it

    def to_json(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)


FIELDS = tuple(field.name for field in fields(Event))


class EventDetector:
    """Turns a camera's results into events: one for each change of its state or of the decision about its frames.

    A state ends with a loss, and so the first answer after it is a change. Answers to the last frames of a lost camera
    are passed over. May be called from any thread.
    """

    def __init__(self, camera: str, session: str = "", smoothed: bool = False) -> None:
        self._camera, self._session, self._smoothed = camera, session, smoothed
        self._state, self._decision, self._lost = "", "answer", set[str]()
        self._lock = threading.Lock()

    def on_result(self, result: Result) -> list[Event]:
        """The events of a result; failed frames have none."""
        with self._lock:
            if not isinstance(result, FrameAnswer) or "source" in self._lost:
                return []
            return list(self._on_answer(result))

    def on_loss(self, what: str, reason: str) -> list[Event]:
        """The event of a loss, if it is news."""
        with self._lock:
            if what in self._lost:
                return []
            self._lost.add(what)
            self._decision = "answer"
            return [self._make_event("lost", "", f"{what}: {mask_secrets(reason)}")]

    def on_return(self, what: str) -> list[Event]:
        """The event of the return of what was lost."""
        with self._lock:
            if what not in self._lost:
                return []
            self._lost.remove(what)
            return [self._make_event("back", "", what)]

    def _on_answer(self, result: FrameAnswer) -> Iterator[Event]:
        confidence = result.answer.confidence
        decision = confidence.decision if confidence else "answer"
        state = result.answer.label if decision == "answer" else ""
        if self._smoothed:
            state = confidence.stable_label if confidence else ""
        before, self._decision = self._decision, decision
        if decision == "defer" != before:
            yield self._make_event("deferred", state, result=result)
        elif decision == "none_of_these" != before:
            yield self._make_event("none_of_these", state, result=result)
        if state != self._state:
            yield self._make_event("changed", state, result=result)

    def _make_event(self, kind: Kind, state: str, reason: str = "", result: FrameAnswer | None = None) -> Event:
        previous, self._state = self._state, state
        now = datetime.now(UTC)
        if result is None:
            return Event(uuid.uuid4().hex, kind, self._camera, self._session, _format(now), state, previous, reason)
        answer = result.answer
        return Event(
            uuid.uuid4().hex,
            kind,
            self._camera,
            self._session,
            _format(datetime.fromtimestamp(result.captured_ns / 1e9, UTC) if result.captured_ns else now),
            state,
            previous,
            frame=result.frame_id,
            label=answer.label,
            confidence=answer.confidence.confidence if answer.confidence else answer.score,
            zero_shot=answer.zero_shot[0].label if answer.zero_shot else "",
            decision=answer.confidence.decision if answer.confidence else "",
            example=answer.example_id,
        )


def _format(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
