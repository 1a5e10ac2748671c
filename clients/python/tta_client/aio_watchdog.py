"""Gives up a service that has something to say and is silent for too long; what `Watchdog` is for threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from .bell import Bell
from .course import Course
from .errors import TTAClientError


class AsyncWatchdog:
    """For one stream; `watch` is a task, if anybody wants it."""

    def __init__(self, course: Course, bell: Bell) -> None:
        self.barked = False  # it ended the call
        self._course, self._bell = course, bell
        self._hang_up: Callable[[], Any] = lambda: None

    def dialled(self, hang_up: Callable[[], Any]) -> None:
        """A call has begun; `hang_up` ends it."""
        self._hang_up, self.barked = hang_up, False

    async def heard(self, listening: Awaitable[Any]) -> Any:
        """What `listening` gives; meanwhile the service had better say something."""
        self._course.listens(time.monotonic())
        self._bell.ring()
        try:
            return await listening
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # So grpcio tells of a CANCELLED that came from the other side, or of our own hanging up.
            raise TTAClientError(grpc.StatusCode.CANCELLED, "the call was cancelled on its way") from None
        finally:
            self._course.listens(None)

    async def watch(self) -> None:
        while True:
            left = self._course.patience(time.monotonic())
            if left <= 0:
                self._course.listens(None)
                self.barked = True
                self._hang_up()
            else:
                await self._bell.wait(left)
