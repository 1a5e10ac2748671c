"""The lessons of a stream, until the service has acknowledged them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError
from ..types.frames import Frame, Image
from ..types.labels import Labels
from ..types.lessons import LessonResult, make_lesson_message, parse_lesson_result
from ..types.limits import Limits
from ..v1 import tta_pb2

MAX_ENDS = 3  # calls that end well without a word about a lesson that was sent; a late lesson meets one
CLOSED = TTAClientError(grpc.StatusCode.CANCELLED, "the stream was closed before the service acknowledged the lesson")
ENDED = TTAClientError(
    grpc.StatusCode.FAILED_PRECONDITION, "the stream has ended, and its session with it; name the session to teach it"
)
SILENT = TTAClientError(grpc.StatusCode.UNKNOWN, "the service ended the stream without a word about the lesson")
log = logging.getLogger("tta_client")


@dataclass(slots=True, eq=False)
class StreamLesson:
    """What a person says about one picture; `future` gets its result."""

    label: str | None
    frame: int | None
    request_id: str
    example: str
    image: Image | None
    labels: Labels | None
    future: Any
    after: int = -1  # the last frame that was sent before it
    ends: int = 0

    def make_message(self, label_set_id: str, limits: Limits) -> tta_pb2.ClassifyStreamRequest:
        """Raises `Refused`, naming the field, for what cannot be sent."""
        about = self.label, self.frame, self.request_id, self.example, self.image
        return tta_pb2.ClassifyStreamRequest(lesson=make_lesson_message(*about, label_set_id, limits))


Outcome = LessonResult | TTAClientError


class LessonQueue:
    """Lessons in the order of teaching. Those that a lost call leaves unacknowledged are sent again, where they were
    between the frames; the service takes the same word about the same picture twice without harm.

    `defines` says whether labels can be registered again.
    """

    def __init__(self, defines: Callable[[Labels], bool]) -> None:
        self._waiting, self._sent = deque[StreamLesson](), deque[StreamLesson]()
        self._settled, self._defines = deque[tuple[StreamLesson, Outcome]](), defines

    def __bool__(self) -> bool:
        return bool(self._waiting or self._sent)

    @property
    def waiting(self) -> bool:
        """Whether some are not sent yet."""
        return bool(self._waiting)

    @property
    def unacknowledged(self) -> bool:
        """Whether some were sent on this call and have no result."""
        return bool(self._sent)

    def add(self, lesson: StreamLesson, after: int) -> None:
        """A new lesson; frame `after` is the last that was sent before it, on any call."""
        lesson.after = after
        self._waiting.append(lesson)

    def take(self, before: Frame | None) -> StreamLesson | None:
        """The lesson to send before that frame, if any; it counts as sent."""
        if not self._waiting or (before is not None and before.frame_id <= self._waiting[0].after):
            return None
        self._sent.append(self._waiting.popleft())
        return self._sent[-1]

    def settle(self, message: tta_pb2.LessonResult, check_labels: Callable[[TTAClientError, bool], None]) -> None:
        """The service acknowledged the first lesson that was sent.

        `check_labels` raises what ends the call, when its server lacks the labels registered for the lesson.
        """
        if not self._sent:
            return
        lesson, outcome = self._sent[0], None
        try:
            outcome = parse_lesson_result(message)
        except TTAClientError as error:
            outcome = error
            check_labels(error, lesson.labels is not None and self._defines(lesson.labels))
        self._settled.append((self._sent.popleft(), outcome))

    def fail(self, lesson: StreamLesson, error: TTAClientError) -> None:
        """The lesson cannot be sent."""
        for lessons in (self._sent, self._waiting):  # it waits again if its call was lost meanwhile
            if lesson in lessons:
                lessons.remove(lesson)
                self._settled.append((lesson, error))

    def fail_all(self, error: TTAClientError) -> None:
        """No lesson will be acknowledged any more."""
        self.lose()
        self._settled.extend((lesson, error) for lesson in self._waiting)
        self._waiting.clear()

    def lose(self) -> None:
        """The call is lost; what it leaves is sent again."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def on_call_ended(self, goes_on: bool) -> bool:
        """The call ended well. Returns whether lessons are left for another one, which needs a session that goes on."""
        for lesson in self._sent:
            lesson.ends += 1
        self.lose()
        if not goes_on:
            self.fail_all(ENDED)
        for lesson in [lesson for lesson in self._waiting if lesson.ends >= MAX_ENDS]:
            self.fail(lesson, SILENT)
        return self.waiting

    def take_settled(self) -> list[tuple[StreamLesson, Outcome]]:
        """Takes the outcomes that no future has yet. Refusals are logged, as a caller may not wait for them."""
        settled = [*self._settled]
        self._settled.clear()
        for _, outcome in settled:
            if isinstance(outcome, TTAClientError) and outcome is not CLOSED:
                log.warning("a lesson was refused: %s", outcome)
        return settled
