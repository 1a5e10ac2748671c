"""Frames from the source into whichever call is open, from a thread of its own."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import TTAClientError, blamed, passing
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import Course
from ..types.answers import FrameAnswer, FrameFailure
from ..types.frames import Frame, frame_message, let_go
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import Replies
from .watchdog import Watchdog

Request = tta_pb2.ClassifyStreamRequest
END: Any = object()
log = logging.getLogger("tta_client")


class Feed:
    """One thread pulls and sends. At most one message waits here."""

    def __init__(
        self,
        course: Course,
        frames: Iterable[Any],
        identify: Callable[[Labels], str],
        limits: Callable[[], Limits] = lambda: UNLIMITED,
    ) -> None:
        self.failure: BaseException | None = None  # what the frames raised
        self.course = course
        self._frames, self._identify, self._limits = iter(frames), identify, limits
        self._moved = threading.Condition()
        self._message: Request | None = None
        self._sending = False
        self.watchdog = Watchdog(course, self._moved)

    def start(self) -> None:
        threading.Thread(target=self._work, name="tta-stream-feed", daemon=True).start()
        self.watchdog.start()

    def stop(self) -> None:
        with self._moved:
            self.course.over = True
            self._moved.notify_all()

    # ---- one call

    def requests(self, opening: Request, ended: threading.Event) -> Iterator[Request]:
        """The request side of a call: the opening message, and frames as soon as the service has replied to it."""
        yield opening
        while (message := self._take(ended)) is not None:
            yield message

    def dialled(self, running: Any) -> Replies:
        """A call has begun; its replies."""
        self.watchdog.dialled(running.cancel)
        return Replies(running, self.course, self._moved)

    def end(self, ended: threading.Event) -> None:
        """The request side of that call will never be asked for anything that counts."""
        with self._moved:
            ended.set()
            self._message = None
            self._moved.notify_all()

    def opened(self) -> None:
        with self._moved:
            self.course.opened()
            self._moved.notify_all()

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> list[FrameAnswer | FrameFailure]:
        """What a reply brings, after the failures that come before it."""
        with self._moved:
            result = self.course.read(reply, time.monotonic())
            self._moved.notify_all()
            return [] if result is None else [*self.course.due(result.frame_id), result]

    def due(self, all: bool = False) -> list[FrameFailure]:
        """The failures to tell now; `all`: nothing that they could wait for will come any more."""
        with self._moved:
            self._moved.notify_all()
            return self.course.due(math.inf if all else None)

    # ---- between calls

    def ended(self) -> bool:
        """The call is over as it should be. Is there to be another one? Waits for the source to say so."""
        with self._moved:
            again = self.course.ended()
            self._drop()
            self._moved.wait_for(lambda: not self.course.undecided)
            return again and self.course.goes_on

    def lost(self, error: TTAClientError) -> bool:
        """The call failed. Waits as long as it should; False: there is nothing to go on for. Raises what is final."""
        with self._moved:
            if self.course.over:
                return False
            pause = self.course.lost(self.watchdog.verdict or error)
            self._drop()
            self._moved.wait_for(lambda: not self.course.goes_on, timeout=pause)
            return self.course.goes_on

    def _drop(self) -> None:
        """What was still meant for the call before: it may have come after the end of its request side."""
        self._message = None
        self._moved.notify_all()

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
            self._broken(error)
        finally:
            try:
                let_go(self._frames)
            except Exception:
                log.warning("the source of the frames cannot be closed", exc_info=True)

    def _pull(self) -> None:
        try:
            picture = next(self._frames, END)
        except BaseException as error:  # whatever it is, in this thread nobody else would hear of it
            return self._source_over(error)
        if picture is END:
            self._source_over()
        else:
            self._pulled(picture)

    def _step(self) -> tuple[Any, int]:
        with self._moved:
            while isinstance(step := self.course.step(time.monotonic()), float):
                self._moved.wait(None if step == math.inf else step)
            self._sending = isinstance(step, Frame)
            return step, self.course.call

    def _pulled(self, picture: Any) -> None:
        with self._moved:
            self.course.pulled(picture)
            self._moved.notify_all()

    def _send(self, frame: Frame, call: int) -> None:
        message = wrong = None
        try:
            with blamed("frame.labels"):
                label_set_id = "" if frame.labels is None else self._identify(frame.labels)
            message = frame_message(frame, label_set_id, self._limits())
        except TTAClientError as error:
            wrong = error
        with self._moved:
            self._sending = False
            if wrong is not None and not passing(wrong):
                self.course.failed(frame, wrong)
            elif self.course.call == call:
                if wrong is not None:  # the service's trouble: what was under way is seen to when the call has ended
                    self.watchdog.give_up(wrong)
                self._message = message
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._message is None or self.course.over)

    def _source_over(self, failure: BaseException | None = None) -> None:
        with self._moved:
            self.failure, self.course.source_over = failure, True
            self._moved.notify_all()

    def _broken(self, failure: BaseException) -> None:
        """Nobody sends any more: the stream ends at once."""
        with self._moved:
            self.failure, self.course.over = failure, True
            self.watchdog.give_up(SILENT)
            self._moved.notify_all()

    def _take(self, ended: threading.Event) -> Request | None:
        with self._moved:
            self._moved.wait_for(lambda: self._message or ended.is_set() or self._said_all)
            if ended.is_set():
                return None
            message, self._message = self._message, None
            self._moved.notify_all()
            return message

    @property
    def _said_all(self) -> bool:
        return bool(self.course.call) and self.course.said_all and not self._sending
