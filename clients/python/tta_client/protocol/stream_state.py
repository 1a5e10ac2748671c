"""The state of a stream: what is sent next, what a reply means, whether a lost connection is dialled again.

It does no I/O and no locking: `Sender` and `AsyncSender` call it from one thread or task at a time.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Any, Literal

import grpc

from ..errors import TTAClientError, from_status, labels_are_gone
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus, parse_answer, parse_session_status
from ..types.frames import Frame, FrameNumbers, measure_age
from ..types.labels import Labels
from ..types.requests import Policy
from ..types.values import to_plain
from ..v1 import tta_pb2
from .reconnect import Reconnect, ReconnectState
from .send_queue import SendQueue

Step = Literal["end", "pull"] | float | Frame
FAILURE_DUE: Any = object()  # in place of a reply: a failure comes before it
log = logging.getLogger("tta_client")


class StreamState:
    """One camera's stream, across all its calls.

    Under "block" the unanswered frames of a lost call are sent again: every frame is answered, and a memory may see
    one twice. Under the other policies they are lost, and the stream continues with newer frames. `defines` says
    whether a frame's own labels can be registered again.
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
    ) -> None:
        self.statistics = statistics or Statistics()
        self.session: SessionStatus | None = None
        self.resume_token = resume_token
        self.closed = False  # the caller wants no more results
        self.source_ended = False
        self.call = 0  # the number of the open call; 0: none
        self._call_numbers = itertools.count(1)
        self._frame_numbers = FrameNumbers()
        self._queue, self._defines = SendQueue(policy, in_flight, paced), defines
        self._draining = self._reconnected = False
        self._reconnect = ReconnectState(reconnect)

    # ---- sending

    def step(self, now: float) -> Step:
        """What to do next: send a frame, pull one, wait so many seconds or until the state changes, or end."""
        queue = self._queue
        if self.closed:
            return "end"
        if queue.empty and self.source_ended:
            return math.inf
        if self._draining:
            return (
                "pull" if queue.empty and not queue.failure_due else math.inf
            )  # pulls to learn whether another call is needed
        if not self.call:
            return math.inf
        if wait := queue.wait(now):
            return wait
        if (frame := queue.next) is None:
            return "pull"
        if not queue.unanswered:
            self._reconnect.expect_reply(now)
        queue.record_sent(now, own_labels=frame.labels is not None and self._defines(frame.labels))
        self.statistics.sent += 1
        return frame

    def add(self, picture: Any) -> None:
        """Takes an item of the source; any image that is no `Frame` becomes one, captured now."""
        try:
            frame = self._frame_numbers.make_frame(picture)
        except TTAClientError as error:
            return self._fail(self._frame_numbers.last, picture, error)
        if self.call or self._draining or self._queue.blocking:
            self._queue.add(frame)
        else:
            self.statistics.dropped["disconnect"] += 1

    def fail_frame(self, frame: Frame, error: TTAClientError) -> None:
        """The frame cannot be sent; the stream continues without it."""
        if self._queue.withdraw(frame):
            self.statistics.sent -= 1
            self._fail(frame.frame_id, frame, error)

    def _fail(self, place: int, item: Any, error: TTAClientError) -> None:
        number, scene = (item.frame_id, item.scene) if isinstance(item, Frame) else (place + 1, "")
        failure = FrameFailure(to_plain(number), error, measure_age(item), scene)
        if gone := self._queue.add_failure(place, failure):
            self.statistics.dropped["unreadable"] += gone

    @property
    def all_sent(self) -> bool:
        """Whether nothing more will be sent on this call, so that its request side may close."""
        if self._draining:
            return not self._queue.unanswered
        return self.source_ended and self._queue.empty

    # ---- receiving

    @property
    def failure_due(self) -> bool:
        """Whether the next result is the failure of a frame that could not be sent."""
        return self._queue.failure_due

    def take_failures(self, before: float | None = None) -> list[FrameFailure]:
        """Takes the failures that are due, or all that come before a frame."""
        due = self._queue.take_failures(before)
        self.statistics.failures += len(due)
        return due

    @property
    def blocking(self) -> bool:
        """Whether every frame gets an answer."""
        return self._queue.blocking

    def on_call_opened(self) -> None:
        """The first reply of a call came."""
        self._reconnected, self._reconnect.connected_once = self._reconnect.connected_once, True
        self.call, self._draining = next(self._call_numbers), False
        if self._reconnected:
            self.statistics.reconnects["service"] += 1
        self._queue.reset()

    def read(self, reply: tta_pb2.ClassifyStreamResponse, now: float) -> FrameAnswer | FrameFailure | None:
        """The answer or failure in a reply; None for a reply about the stream as a whole.

        Raises `TTAClientError`, which ends the call, when its server lacks the labels registered for a frame.
        """
        match reply.WhichOneof("kind"):
            case "answer":
                message, answer = reply.answer, parse_answer(reply.answer.response)
                if self._queue.has_own_labels(message.frame_id):
                    self._reconnect.on_labels_known()
                age, scene = self._settle(message.frame_id, now)
                self.session = answer.session
                self.statistics.add_answer(age, message.dropped_since_last)
                stamp = message.capture_time.ToNanoseconds()
                return FrameAnswer(message.frame_id, answer, age, stamp, message.dropped_since_last, scene)
            case "error":
                error, own_labels = from_status(reply.error.status), self._queue.has_own_labels(reply.error.frame_id)
                if own_labels and labels_are_gone(error) and self._reconnect.on_labels_gone():
                    raise TTAClientError(error.code, error.sentence, error.field, retry_after=0.0)
                age, scene = self._settle(reply.error.frame_id, now)
                self.statistics.failures += 1
                return FrameFailure(reply.error.frame_id, error, age, scene)
            case "status":
                self._queue.update_credits(reply.status.credits, reply.status.suggested_fps, now)
                if reply.status.HasField("session"):
                    self.session = parse_session_status(reply.status.session)
                    self._log_return(self.session)
            case "draining":
                self.resume_token, self._draining = reply.draining.resume_token, self._reconnect.enabled
                self._reconnect.expect_reply(now)
            case _:
                pass  # a kind that only a newer service sends
        return None

    def _log_return(self, session: SessionStatus) -> None:
        if self._reconnected:
            self._reconnected = False
            log.warning(
                "the service is back: session %s is %s, last frame %d", *astuple(session)[:2], session.last_frame_id
            )

    def _settle(self, frame_id: int, now: float) -> tuple[float, str]:
        self._reconnect.on_answer()
        return self._queue.settle(frame_id, now)

    # ---- the end of a call

    @property
    def has_watchdog(self) -> bool:
        """Whether a silent service is ever given up."""
        return self._reconnect.has_watchdog

    def listen(self, now: float | None) -> None:
        """A read of the next reply began at `now`; None: it has ended."""
        self._reconnect.listen(now)

    def seconds_left(self, now: float) -> float:
        """Seconds until a silent service is given up; infinity while it owes no reply."""
        owes = not self.call or self._queue.unanswered or self.all_sent
        return self._reconnect.seconds_left(now) if owes else math.inf

    def on_call_ended(self) -> bool:
        """The service closed the call without an error. Returns whether another call follows.

        Raises `TTAClientError` when frames are still unsent or, under "block", unanswered.
        """
        if not self.all_sent or (self._queue.blocking and self._queue.unanswered):
            raise TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")
        self.call = 0
        return self._draining

    def on_call_lost(self, error: TTAClientError) -> float:
        """A call failed. Returns the seconds until the next attempt; raises the error when it is final."""
        was_draining, self.call, self._draining = self._draining, 0, False
        if lost := self._queue.lose(with_pulled=not was_draining):
            self.statistics.dropped["disconnect"] += lost
        pause = self._reconnect.pause(error)
        log.warning("the service is lost (%s); next attempt in %.1f s", error, pause)
        return pause

    @property
    def undecided(self) -> bool:
        """Whether the next item of the source, or its end, decides if another call follows."""
        settled = self.closed or self.source_ended or not self._queue.empty or self.failure_due
        return self._draining and not settled

    @property
    def should_continue(self) -> bool:
        """Whether frames are left, or may still come."""
        return not (self.closed or (self._queue.empty and self.source_ended))
