"""Frames from the source into whichever call is open, from a task of its own; what `Feed` is for threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from .aio_pull import END, pulled
from .aio_watchdog import AsyncWatchdog
from .answers import FrameAnswer, FrameFailure
from .bell import Bell
from .course import Course
from .errors import TTAClientError
from .frames import Frame, frame_message
from .labels import Labels
from .recovery import SILENT
from .v1 import tta_pb2


class AsyncFeed:
    """One task pulls and sends. At most one message waits here.

    Frames of an ordinary iterable are taken in a thread, so that a slow camera never stops the loop.
    """

    def __init__(
        self, course: Course, frames: Iterable[Any] | AsyncIterable[Any], identify: Callable[[Labels], Awaitable[str]]
    ) -> None:
        self.course = course
        self.failure: Exception | None = None  # what the frames raised
        self._frames: Any = aiter(frames) if isinstance(frames, AsyncIterable) else pulled(iter(frames))
        self._identify, self._bell = identify, Bell()
        self._message: Any = None
        self._sending = False
        self.watchdog = AsyncWatchdog(course, self._bell)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        works = (self._work(), self.watchdog.watch()) if self.course.watched else (self._work(),)
        self._tasks = [asyncio.create_task(work) for work in works]

    async def stop(self) -> None:
        self.course.over = True
        self._bell.ring()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- one call

    async def requests(self, opening: Any, ended: asyncio.Event) -> AsyncIterator[Any]:
        """The request side of a call: the opening message, and frames as soon as the service has replied to it."""
        yield opening
        while True:
            while not (self._message or ended.is_set() or self._said_all):
                await self._bell.wait()
            if ended.is_set() or not self._message:
                return
            yield self._message
            if not ended.is_set():  # it is written: the next one may be made
                self._message = None
                self._bell.ring()

    def end(self, ended: asyncio.Event) -> None:
        """The request side of that call will never be asked for anything that counts."""
        ended.set()
        self._message = None
        self._bell.ring()

    def opened(self) -> None:
        self.course.opened()
        self._bell.ring()

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> FrameAnswer | FrameFailure | None:
        result = self.course.read(reply, time.monotonic())
        self._bell.ring()
        return result

    # ---- between calls

    async def ended(self) -> bool:
        """The call is over as it should be. Is there to be another one? Waits for the source to say so."""
        again = self.course.ended()
        while self.course.undecided:
            await self._bell.wait()
        return again and self.course.goes_on

    async def lost(self, error: TTAClientError) -> bool:
        """The call failed. Waits as long as it should; False: there is nothing to go on for. Raises what is final."""
        until = time.monotonic() + self.course.lost(SILENT if self.watchdog.barked else error)
        while self.course.goes_on and (left := until - time.monotonic()) > 0:
            await self._bell.wait(left)
        return self.course.goes_on

    # ---- the task

    async def _work(self) -> None:
        try:
            while (step := self.course.step(time.monotonic())) != "end":
                if isinstance(step, float):
                    await self._bell.wait(step)
                elif isinstance(step, Frame):
                    await self._send(step, self.course.call)
                elif (picture := await anext(self._frames, END)) is END:
                    self._source_over()
                else:
                    self.course.pulled(picture)
                    self._bell.ring()
        except Exception as error:
            self._source_over(error)
        finally:
            if hasattr(self._frames, "aclose"):
                await self._frames.aclose()

    async def _send(self, frame: Frame, call: int) -> None:
        self._sending, message = True, None
        try:
            message = frame_message(frame, "" if frame.labels is None else await self._identify(frame.labels))
        except TTAClientError as error:
            if not error.transient:
                raise  # else the service is going: so does the call, and what was under way is seen to then
        finally:
            self._sending = False
        if self.course.call == call:
            self._message = message
        self._bell.ring()
        while self._message is not None and not self.course.over:
            await self._bell.wait()

    def _source_over(self, failure: Exception | None = None) -> None:
        self.failure, self.course.source_over = failure, True
        self._bell.ring()

    @property
    def _said_all(self) -> bool:
        return bool(self.course.call) and self.course.said_all and not self._sending
