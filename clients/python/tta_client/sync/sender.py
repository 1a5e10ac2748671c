"""Generated from aio/sender.py by protos/generate_sync.py (`make proto`); not edited."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..channel import to_timeout
from ..errors import TTAClientError, blame_field, is_retryable
from ..protocol.lessons import StreamLesson
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState
from ..types.answers import FrameFailure
from ..types.frames import Frame, make_frame_message
from ..types.labels import Labels
from ..types.limits import Limits
from ..types.pixels import SampleDepth
from .call import Call, Request
from .results import Results
from .runtime import END, Condition, Frames, Workers, end_source, open_source

log = logging.getLogger("tta_client")


class Sender:
    """Its workers pull frames, send, watch and make calls. `_changed` guards `state`, results and the open call."""

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
        self._changed, self._workers, self._depth = Condition(), Workers(), SampleDepth()
        self.results, self._pulling = Results(state, self._changed), False
        self._call: Call | None = None

    def start(self, make_calls: Callable[[], None]) -> None:
        """Starts the workers. `make_calls` ends when the stream does, and raises what ends it."""

        def calls() -> None:
            self.results.end_with(make_calls, self._workers.is_stopping)

        self._workers.start(self._pull_frames, self._send_messages, self._watch_service, calls)

    def stop(self) -> None:
        """Ends the workers; the source is closed."""
        with self._changed:
            self.state.closed = True
            self._changed.notify_all()
            if self._call is not None:
                self._call.give_up(SILENT)
        self._workers.stop()
        self.results.end(None)

    # ---- for the worker that makes the calls

    def start_call(self, place: Callable[[Iterator[Request]], Any], opening: Request) -> Call:
        """Begins a call, on which frames are sent after `on_call_opened`."""
        call = Call(self.state, self._changed, place, opening)
        with self._changed:
            self._call = call
            if self.state.closed:  # the stream ended while the call was being opened
                call.give_up(SILENT)
        return call

    def on_call_opened(self) -> None:
        """The first reply of the call came: frames may be sent."""
        with self._changed:
            self.state.on_call_opened()
            self._changed.notify_all()

    def take_failures(self, all: bool = False) -> list[FrameFailure]:
        """Takes the failures that are due; `all`: all of them, as no answer will come before them."""
        with self._changed:
            self._changed.notify_all()
            return self.state.take_failures(math.inf if all else None)

    def on_call_ended(self) -> bool:
        """The call ended without an error. Returns whether another follows; may wait for the source."""
        with self._changed:
            again = self.state.on_call_ended()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.state.undecided)
            return again and self.state.should_continue

    def on_call_lost(self, error: TTAClientError) -> bool:
        """The call failed. Waits before the next attempt; False: nothing is left to send. Raises a final error."""
        with self._changed:
            if self.state.closed:
                return False
            pause = self.state.on_call_lost(error)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.state.should_continue, pause)
            return self.state.should_continue

    # ---- the workers

    def _send_messages(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                self._send(*step)
        except BaseException as error:
            if self._workers.is_stopping(error):
                raise
            with self._changed:  # no more frames can be sent
                self.failure, self.state.closed = error, True
                self._changed.notify_all()
                if self._call is not None:
                    self._call.give_up(SILENT)

    def _next_step(self) -> tuple[Frame | StreamLesson, Call] | None:
        """What to send next, and on which call; None at the end. Has a frame pulled when there is none."""
        with self._changed:
            while (step := self.state.step(time.monotonic())) != "end":
                if isinstance(step, Frame | StreamLesson) and self._call is not None:
                    self._call.sending = True
                    return step, self._call
                if step == "pull" and not self._pulling:
                    self._pulling = True
                    self._changed.notify_all()
                self._changed.wait(to_timeout(step) if isinstance(step, float) else None)
            return None

    def _pull_frames(self) -> None:
        try:
            while self._wants_frame():
                self._pull()
        finally:
            try:
                end_source(self._source)
            except Exception:
                log.warning("the source of the frames cannot be closed", exc_info=True)

    def _wants_frame(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._pulling or self.state.closed)
            return not (self.state.closed or self.state.source_ended)

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
                self._pulling = False
            self._changed.notify_all()

    def _send(self, item: Frame | StreamLesson, call: Call) -> None:
        message = failure = None
        try:
            message = self._make_message(item)
        except TTAClientError as error:
            failure = error
        with self._changed:
            call.sending = False
            if failure is not None and not is_retryable(failure):
                self.state.fail(item, failure)
            elif failure is not None and not call.closed:
                call.give_up(failure)  # the service's fault: the end of the call settles its unanswered frames
            elif not call.closed:
                call.message = message
            self._changed.notify_all()
            self._changed.wait_for(lambda: call.message is None or call.closed or self.state.closed)
        self.results.resolve_lessons()

    def _make_message(self, item: Frame | StreamLesson) -> Request:
        with blame_field("frame.labels" if isinstance(item, Frame) else "labels"):
            label_set_id = "" if item.labels is None else self._identify(item.labels)
        limits = self._limits()
        if isinstance(item, Frame):
            return make_frame_message(item, label_set_id, limits, self._depth)
        return item.make_message(label_set_id, limits)

    def _watch_service(self) -> None:
        with self._changed:
            while not self.state.closed:
                if (left := self.state.seconds_left(time.monotonic())) <= 0 and self._call is not None:
                    self._call.give_up(SILENT)
                else:
                    self._changed.wait(to_timeout(left))
