"""Sends the frames of the source on the open call, from a task of its own; `Sender` for tasks."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from ..errors import TTAClientError, blame_field, is_retryable
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState
from ..types.answers import FrameAnswer, FrameFailure
from ..types.frames import Frame, make_frame_message
from ..types.labels import Labels
from ..types.limits import Limits
from ..v1 import tta_pb2
from .condition import Condition
from .pull import END, pull
from .replies import AsyncReplies
from .watchdog import AsyncWatchdog

log = logging.getLogger("tta_client")


class AsyncSender:
    """One task pulls and sends. At most one message waits here.

    An ordinary iterable is read in a thread, so that a slow camera does not block the loop.
    """

    def __init__(
        self,
        state: StreamState,
        frames: Iterable[Any] | AsyncIterable[Any],
        identify: Callable[[Labels], Awaitable[str]],
        limits: Callable[[], Awaitable[Limits]],
    ) -> None:
        self.state = state
        self.failure: BaseException | None = None  # what the frames raised
        self._frames: Any = aiter(frames) if isinstance(frames, AsyncIterable) else pull(iter(frames))
        self._identify, self._limits, self._changed = identify, limits, Condition()
        self._message: Any = None
        self._sending = False
        self.watchdog = AsyncWatchdog(state, self._changed)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the tasks."""
        coroutines = (self._work(), self.watchdog.watch()) if self.state.has_watchdog else (self._work(),)
        self._tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]

    async def stop(self) -> None:
        """Cancels the tasks and waits for them; the source is closed."""
        self.state.closed = True
        self._changed.notify_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- one call

    async def requests(self, opening: Any, ended: asyncio.Event) -> AsyncIterator[Any]:
        """The request side of a call: the opening message, then frames after the service's first reply."""
        yield opening
        while True:
            while not (self._message or ended.is_set() or self._all_sent):
                await self._changed.wait()
            if ended.is_set() or not self._message:
                return
            yield self._message
            if not ended.is_set():  # the message is written: the next one may be made
                self._message = None
                self._changed.notify_all()

    def on_call_started(self, running: Any) -> AsyncReplies:
        """A call began. Returns its replies."""
        self.watchdog.on_call_started(running.cancel)
        return AsyncReplies(running, self.state, self._changed)

    def end(self, ended: asyncio.Event) -> None:
        """Ends the request side of that call."""
        ended.set()
        self._message = None
        self._changed.notify_all()

    def on_call_opened(self) -> None:
        """The first reply of the call came: frames may be sent."""
        self.state.on_call_opened()
        self._changed.notify_all()

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> list[FrameAnswer | FrameFailure]:
        """The result in a reply, after the failures that are due before it."""
        result = self.state.read(reply, time.monotonic())
        self._changed.notify_all()
        return [] if result is None else [*self.state.take_failures(result.frame_id), result]

    def take_failures(self, all: bool = False) -> list[FrameFailure]:
        """Takes the failures that are due; `all`: all of them, as no answer will come before them."""
        self._changed.notify_all()
        return self.state.take_failures(math.inf if all else None)

    # ---- between calls

    async def on_call_ended(self) -> bool:
        """The call ended without an error. Returns whether another follows; may wait for the source."""
        again = self.state.on_call_ended()
        while self.state.undecided:
            await self._changed.wait()
        return again and self.state.should_continue

    async def on_call_lost(self, error: TTAClientError) -> bool:
        """The call failed. Waits before the next attempt; False: nothing is left to send. Raises a final error."""
        if self.state.closed:
            return False
        until = time.monotonic() + self.state.on_call_lost(self.watchdog.verdict or error)
        while self.state.should_continue and (left := until - time.monotonic()) > 0:
            await self._changed.wait(left)
        return self.state.should_continue

    # ---- the task

    async def _work(self) -> None:
        try:
            while (step := self.state.step(time.monotonic())) != "end":
                if isinstance(step, float):
                    await self._changed.wait(step)
                elif isinstance(step, Frame):
                    await self._send(step, self.state.call)
                else:
                    await self._pull()
        except BaseException as error:
            if self._is_own_cancellation(error):
                raise
            self._end_stream(error)
        finally:
            if hasattr(self._frames, "aclose"):
                try:
                    await self._frames.aclose()
                except Exception:
                    log.warning("the source of the frames cannot be closed", exc_info=True)

    async def _pull(self) -> None:
        try:
            picture = await anext(self._frames, END)
        except BaseException as error:  # the stream raises it to its reader
            if self._is_own_cancellation(error):
                raise
            return self._source_ended(error)
        if picture is END:
            return self._source_ended()
        self.state.add(picture)
        self._changed.notify_all()

    async def _send(self, frame: Frame, call: int) -> None:
        self._sending, message, failure = True, None, None
        try:
            with blame_field("frame.labels"):
                label_set_id = "" if frame.labels is None else await self._identify(frame.labels)
            message = make_frame_message(frame, label_set_id, await self._limits())
        except TTAClientError as error:
            failure = error
        finally:
            self._sending = False
        if failure is not None and not is_retryable(failure):
            self.state.fail_frame(frame, failure)
        elif self.state.call == call:
            if failure is not None:  # the service's fault: the end of the call settles its unanswered frames
                self.watchdog.give_up(failure)
            self._message = message
        self._changed.notify_all()
        while self._message is not None and not self.state.closed:
            await self._changed.wait()

    def _source_ended(self, failure: BaseException | None = None) -> None:
        self.failure, self.state.source_ended = failure, True
        self._changed.notify_all()

    def _end_stream(self, failure: BaseException) -> None:
        """Ends the stream at once: no more frames can be sent."""
        self.failure, self.state.closed = failure, True
        self.watchdog.give_up(SILENT)
        self._changed.notify_all()

    @property
    def _all_sent(self) -> bool:
        return bool(self.state.call) and self.state.all_sent and not self._sending

    def _is_own_cancellation(self, error: BaseException) -> bool:
        """Whether this task was cancelled or discarded; False: the source raised the error."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs any more
            return True
        return task not in self._tasks or (isinstance(error, asyncio.CancelledError) and bool(task.cancelling()))
