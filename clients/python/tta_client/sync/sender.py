"""Sends the frames of the source on the open call, from a thread of its own."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import TTAClientError, blame_field, is_retryable
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState
from ..types.answers import FrameAnswer, FrameFailure
from ..types.frames import Frame, close_source, make_frame_message
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import Replies
from .watchdog import Watchdog

Request = tta_pb2.ClassifyStreamRequest
END: Any = object()
log = logging.getLogger("tta_client")


class Sender:
    """One thread pulls and sends. At most one message waits here. `_changed` guards the state of the stream."""

    def __init__(
        self,
        state: StreamState,
        frames: Iterable[Any],
        identify: Callable[[Labels], str],
        limits: Callable[[], Limits] = lambda: UNLIMITED,
    ) -> None:
        self.failure: BaseException | None = None  # what the frames raised
        self.state = state
        self._frames, self._identify, self._limits = iter(frames), identify, limits
        self._changed = threading.Condition()
        self._message: Request | None = None
        self._sending = False
        self.watchdog = Watchdog(state, self._changed)

    def start(self) -> None:
        """Starts the threads."""
        threading.Thread(target=self._work, name="tta-stream-sender", daemon=True).start()
        self.watchdog.start()

    def stop(self) -> None:
        """Ends the threads; the source is closed."""
        with self._changed:
            self.state.closed = True
            self._changed.notify_all()

    # ---- one call

    def requests(self, opening: Request, ended: threading.Event) -> Iterator[Request]:
        """The request side of a call: the opening message, then frames after the service's first reply."""
        yield opening
        while (message := self._take(ended)) is not None:
            yield message

    def on_call_started(self, running: Any) -> Replies:
        """A call began. Returns its replies."""
        self.watchdog.on_call_started(running.cancel)
        return Replies(running, self.state, self._changed)

    def end(self, ended: threading.Event) -> None:
        """Ends the request side of that call."""
        with self._changed:
            ended.set()
            self._message = None
            self._changed.notify_all()

    def on_call_opened(self) -> None:
        """The first reply of the call came: frames may be sent."""
        with self._changed:
            self.state.on_call_opened()
            self._changed.notify_all()

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
            pause = self.state.on_call_lost(self.watchdog.verdict or error)
            self._discard_message()
            self._changed.wait_for(lambda: not self.state.should_continue, timeout=pause)
            return self.state.should_continue

    def _discard_message(self) -> None:
        """Discards a message for the previous call, which may have come after the end of that call's request side."""
        self._message = None
        self._changed.notify_all()

    # ---- the thread

    def _work(self) -> None:
        try:
            while True:
                step, call = self._step()
                if step == "end":
                    return
                if isinstance(step, Frame):
                    self._send(step, call)
                else:
                    self._pull()
        except BaseException as error:
            self._end_stream(error)
        finally:
            try:
                close_source(self._frames)
            except Exception:
                log.warning("the source of the frames cannot be closed", exc_info=True)

    def _pull(self) -> None:
        try:
            picture = next(self._frames, END)
        except BaseException as error:  # the stream raises it to its reader
            return self._source_ended(error)
        if picture is END:
            self._source_ended()
        else:
            self._add(picture)

    def _step(self) -> tuple[Any, int]:
        with self._changed:
            while isinstance(step := self.state.step(time.monotonic()), float):
                self._changed.wait(None if step == math.inf else step)
            self._sending = isinstance(step, Frame)
            return step, self.state.call

    def _add(self, picture: Any) -> None:
        with self._changed:
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
                    self.watchdog.give_up(failure)
                self._message = message
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._message is None or self.state.closed)

    def _source_ended(self, failure: BaseException | None = None) -> None:
        with self._changed:
            self.failure, self.state.source_ended = failure, True
            self._changed.notify_all()

    def _end_stream(self, failure: BaseException) -> None:
        """Ends the stream at once: no more frames can be sent."""
        with self._changed:
            self.failure, self.state.closed = failure, True
            self.watchdog.give_up(SILENT)
            self._changed.notify_all()

    def _take(self, ended: threading.Event) -> Request | None:
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
