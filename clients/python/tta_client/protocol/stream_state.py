"""The state of a stream: what is sent next, what a reply means, whether a lost connection is dialled again.

It does no I/O and no locking: `Sender` and `AsyncSender` call it from one thread or task at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import grpc

from ..errors import TTAClientError, from_status
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus, parse_answer, parse_session_status
from ..types.frames import Frame
from ..types.labels import Labels
from ..types.requests import Policy
from ..v1 import tta_pb2
from .intake import Intake
from .lessons import LessonQueue, StreamLesson
from .reconnect import Reconnect, ReconnectState
from .send_queue import SendQueue

Step = Literal["end", "pull"] | float | Frame | StreamLesson
Result = FrameAnswer | FrameFailure


class StreamState:
    """One camera's stream, across all its calls.

    Under "block" the unanswered frames of a lost call are sent again: every frame is answered, and a memory may see
    one twice. Under the other policies they are lost, and the stream continues with newer frames. `defines` says
    whether a frame's own labels can be registered again; `named`: the session outlives its calls.
    """

    def __init__(
        self,
        policy: Policy,
        in_flight: int = 8,
        paced: bool = True,
        reconnect: Reconnect | None = None,
        statistics: Statistics | None = None,
        resume_token: bytes = b"",
        defines: Callable[[Labels], bool] = lambda labels: not isinstance(labels, str),
        named: bool = False,
    ) -> None:
        self.blocking = policy == "block"  # every frame gets an answer
        self.statistics, self.reconnect = statistics or Statistics(), ReconnectState(reconnect)
        self.session: SessionStatus | None = None
        self.resume_token = resume_token
        self.source_ended = False
        self.connected = False  # a call is open, and frames may be sent on it
        self.closed = False  # the caller wants no more results
        self.queue, self._defines = SendQueue(policy, in_flight, paced), defines
        self._intake = Intake(self.queue, self.statistics)
        self.lessons, self._named, self._draining, self._lessons_late = LessonQueue(defines), named, False, False

    # ---- sending

    def step(self, now: float) -> Step:
        """What to do next: send a frame, pull one, wait so many seconds or until the state changes, or end."""
        queue = self.queue
        if self.closed:
            return "end"
        if queue.empty and self.source_ended and not self.lessons.waiting:
            return math.inf
        if self._draining:  # pulls to learn whether another call is needed
            return "pull" if queue.empty and not queue.failure_due else math.inf
        if not self.connected:
            return math.inf
        if not self._awaited:
            self.reconnect.expect_reply(now)
        return self.lessons.take(before=queue.next) or queue.wait(now) or self._send_next(now)

    def _send_next(self, now: float) -> Step:
        queue = self.queue
        if (frame := queue.next) is None:
            return "pull"
        queue.record_sent(now, own_labels=frame.labels is not None and self._defines(frame.labels))
        self.statistics.sent += 1
        return frame

    @property
    def _awaited(self) -> bool:
        return self.queue.unanswered > 0 or self.lessons.unacknowledged

    def add(self, picture: Any) -> None:
        """Takes an item of the source. Between two calls only "block" waits for the next one with it."""
        self._intake.add(picture, wanted=self.connected or self._draining or self.blocking)

    def fail(self, item: Frame | StreamLesson, error: TTAClientError) -> None:
        """The frame or lesson cannot be sent; the stream continues without it."""
        if isinstance(item, Frame):
            self._intake.fail(item, error)
        else:
            self.lessons.fail(item, error)

    @property
    def all_sent(self) -> bool:
        """Whether nothing more will be sent on this call, so that its request side may close."""
        return self._frames_sent and not (self.lessons.unacknowledged if self._draining else self.lessons.waiting)

    @property
    def _frames_sent(self) -> bool:
        return not self.queue.unanswered if self._draining else self.source_ended and self.queue.empty

    # ---- receiving

    def take_failures(self, before: float | None = None) -> list[FrameFailure]:
        """Takes the failures that are due, or all that come before a frame."""
        due = self.queue.take_failures(before)
        self.statistics.failures += len(due)
        return due

    def on_call_opened(self) -> None:
        """The first reply of a call came."""
        if self.reconnect.on_call_opened(planned=self._lessons_late):
            self.statistics.reconnects["service"] += 1
        self.statistics.on_return("service")
        self.connected, self._draining, self._lessons_late = True, False, False
        self.queue.reset()

    def read(self, reply: tta_pb2.ClassifyStreamResponse, now: float) -> Result | None:
        """The answer or failure in a reply; None for a reply about the stream as a whole.

        Raises `TTAClientError`, which ends the call, when its server lacks the labels registered for a frame.
        """
        match reply.WhichOneof("kind"):
            case "answer":
                message, answer = reply.answer, parse_answer(reply.answer.response)
                if self.queue.has_own_labels(message.frame_id):
                    self.reconnect.on_labels_known()
                age, scene = self.queue.settle(message.frame_id, now)
                self.session = answer.session
                self.reconnect.on_answer()
                self.statistics.add_answer(age, message.dropped_since_last)
                stamp = message.capture_time.ToNanoseconds()
                return FrameAnswer(message.frame_id, answer, age, stamp, message.dropped_since_last, scene)
            case "error":
                error = from_status(reply.error.status)
                self.reconnect.check_labels(error, self.queue.has_own_labels(reply.error.frame_id))
                age, scene = self.queue.settle(reply.error.frame_id, now)
                self.reconnect.on_answer()
                self.statistics.failures += 1
                return FrameFailure(reply.error.frame_id, error, age, scene)
            case "status":
                self.queue.update_credits(reply.status.credits, reply.status.suggested_fps, now)
                if reply.status.HasField("session"):
                    self.session = parse_session_status(reply.status.session)
                    self.reconnect.on_session(self.session)
            case "lesson":
                self.lessons.settle(reply.lesson, self.reconnect.check_labels)
                self.reconnect.on_answer()
            case "draining":
                self.resume_token, self._draining = reply.draining.resume_token, self.reconnect.enabled
                self.reconnect.expect_reply(now)
        return None  # also for a kind that only a newer service sends

    # ---- the end of a call

    def seconds_left(self, now: float) -> float:
        """Seconds until a silent service is given up; infinity while it owes no reply."""
        owes = not self.connected or self._awaited or self.all_sent
        return self.reconnect.seconds_left(now) if owes else math.inf

    def on_call_ended(self) -> bool:
        """The service closed the call without an error. Returns whether another call follows.

        Raises `TTAClientError` when frames are still unsent or, under "block", unanswered. Lessons that came when the
        call had nothing more to send have another call, if their session has a name.
        """
        if not self._frames_sent or (self.blocking and self.queue.unanswered):
            raise TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")
        self.connected = False
        self._lessons_late = self.lessons.on_call_ended(goes_on=self._draining or self._named) and not self._draining
        return self._draining or self._lessons_late

    def on_call_lost(self, error: TTAClientError) -> float:
        """A call failed. Returns the seconds until the next attempt; raises the error when it is final."""
        was_draining, self.connected, self._draining, self._lessons_late = self._draining, False, False, False
        self.lessons.lose()
        if lost := self.queue.lose(with_pulled=not was_draining):
            self.statistics.dropped["disconnect"] += lost
        pause = self.reconnect.pause(error)
        self.statistics.on_loss("service", str(error))
        return pause

    @property
    def undecided(self) -> bool:
        """Whether the next item of the source, or its end, decides if another call follows."""
        open = self.should_continue and not self.source_ended
        return self._draining and open and self.queue.empty and not self.queue.failure_due and not self.lessons

    @property
    def should_continue(self) -> bool:
        """Whether frames or lessons are left, or frames may still come."""
        return not (self.closed or (self.queue.empty and self.source_ended and not self.lessons))
