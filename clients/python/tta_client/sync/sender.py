"""Generated from aio/sender.py by protos/generate_sync.py (`make proto`); not edited."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..channel import to_timeout
from ..errors import TTAClientError, blame_field, is_retryable
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import Step, StreamState
from ..types.answers import FrameAnswer, FrameFailure
from ..types.frames import Frame, make_frame_message
from ..types.labels import Labels
from ..types.limits import Limits
from ..v1 import tta_pb2
from .replies import Replies
from .runtime import END, Condition, Frames, Workers, end_source, open_source

Request = tta_pb2.ClassifyStreamRequest
log = logging.getLogger("tta_client")


class Sender:
    """One worker pulls and sends; at most one message waits here. Another worker is the watchdog.

    `_changed` guards the state of the stream and tells of its changes.
    """

    def __init__(
        self,
        state: StreamState,
        frames: Frames,
        identify: Callable[[Labels], str],
        limits: Callable[[], Limits],
    ) -> None:
        self.state = state
        self.failure: BaseException | None = None  # what the frames raised
        self._source, self._identify, self._limits = open_source(frames), identify, limits
        self._changed, self._workers = Condition(), Workers()
        self._message: Request | None = None
        self._sending = False
        self._verdict: TTAClientError | None = None  # the error that the watchdog ended the call with
        self._cancel: Callable[[], Any] = lambda: None

    def start(self) -> None:
        """Starts the workers."""
        self._workers.start(self._send_frames, *([self._watch_service] if self.state.has_watchdog else []))

    def stop(self) -> None:
        """Ends the workers; the source is closed."""
        with self._changed:
            self.state.closed = True
            self._changed.notify_all()
        self._workers.stop()

    # ---- one call

    def requests(self, opening: Request, ended: threading.Event) -> Iterator[Request]:
        """The request side of a call: the opening message, then frames after the service's first reply."""
        yield opening
        while (message := self._take_message(ended)) is not None:
            yield message

    def on_call_started(self, running: Any) -> Replies:
        """A call began. Returns its replies."""
        with self._changed:
            self._cancel, self._verdict = running.cancel, None
            if self.state.closed:  # the stream ended while the call was being opened
                running.cancel()
        return Replies(running, self.state, self._changed)

    def on_call_opened(self) -> None:
        """The first reply of the call came: frames may be sent."""
        with self._changed:
            self.state.on_call_opened()
            self._changed.notify_all()

    def end(self, ended: threading.Event) -> None:
        """Ends the request side of that call."""
        with self._changed:
            ended.set()
            self._discard_message()

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> list[FrameAnswer | FrameFailure]:
        """The result in a reply, after the failures that are due before it."""
        with self._changed:
            result = self.state.read(reply, time.monotonic())
            self._changed.notify_all()
            return [] if result is None else [*self.state.take_failures(result.frame_id), result]

    def take_failures(self, all: bool = False) -> list[FrameFailure]:
        """Takes the failures that are due; `all`: all of them, as no answer will come before them."""
        with self._changed:
            self._changed.notify_all()
            return self.state.take_failures(math.inf if all else None)

    # ---- between calls

    def on_call_ended(self) -> bool:
        """The call ended without an error. Returns whether another follows; may wait for the source."""
        with self._changed:
            again = self.state.on_call_ended()
            self._discard_message()
            self._changed.wait_for(lambda: not self.state.undecided)
            return again and self.state.should_continue

    def on_call_lost(self, error: TTAClientError) -> bool:
        """The call failed. Waits before the next attempt; False: nothing is left to send. Raises a final error."""
        with self._changed:
            if self.state.closed:
                return False
            pause = self.state.on_call_lost(self._verdict or error)
            self._discard_message()
            self._changed.wait_for(lambda: not self.state.should_continue, pause)
            return self.state.should_continue

    def _discard_message(self) -> None:
        """Discards a message for an ended call; it may have come after the end of that call's request side."""
        self._message = None
        self._changed.notify_all()

    # ---- the workers

    def _send_frames(self) -> None:
        try:
            while True:
                step, call = self._next_step()
                if step == "end":
                    return
                if isinstance(step, Frame):
                    self._send(step, call)
                else:
                    self._pull()
        except BaseException as error:
            if self._workers.is_stopping(error):
                raise
            with self._changed:  # no more frames can be sent
                self.failure, self.state.closed = error, True
                self._give_up(SILENT)
        finally:
            try:
                end_source(self._source)
            except Exception:
                log.warning("the source of the frames cannot be closed", exc_info=True)

    def _next_step(self) -> tuple[Step, int]:
        """What to do next, and for which call."""
        with self._changed:
            while isinstance(step := self.state.step(time.monotonic()), float):
                self._changed.wait(to_timeout(step))
            self._sending = isinstance(step, Frame)
            return step, self.state.call

    def _pull(self) -> None:
        picture, failure = END, None
        try:
            picture = next(self._source, END)
        except BaseException as error:  # the stream raises it to its reader
            if self._workers.is_stopping(error):
                raise
            failure = error
        with self._changed:
            if picture is END:
                self.failure, self.state.source_ended = failure, True
            else:
                self.state.add(picture)
            self._changed.notify_all()

    def _send(self, frame: Frame, call: int) -> None:
        message = failure = None
        try:
            with blame_field("frame.labels"):
                label_set_id = "" if frame.labels is None else self._identify(frame.labels)
            message = make_frame_message(frame, label_set_id, self._limits())
        except TTAClientError as error:
            failure = error
        with self._changed:
            self._sending = False
            if failure is not None and not is_retryable(failure):
                self.state.fail_frame(frame, failure)
            elif self.state.call == call:
                if failure is not None:  # the service's fault: the end of the call settles its unanswered frames
                    self._give_up(failure)
                self._message = message
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._message is None or self.state.closed)

    def _watch_service(self) -> None:
        with self._changed:
            while not self.state.closed:
                left = self.state.seconds_left(time.monotonic())
                if left <= 0:
                    self._give_up(SILENT)
                else:
                    self._changed.wait(to_timeout(left))

    def _give_up(self, error: TTAClientError) -> None:
        """Ends the call with that error."""
        self.state.listen(None)
        self._verdict = error
        self._cancel()
        self._changed.notify_all()

    def _take_message(self, ended: threading.Event) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._message or ended.is_set() or self._all_sent)
            if ended.is_set():
                return None
            message, self._message = self._message, None
            self._changed.notify_all()
            return message

    @property
    def _all_sent(self) -> bool:
        return bool(self.state.call) and self.state.all_sent and not self._sending
