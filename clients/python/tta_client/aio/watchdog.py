"""Gives up a call; what `Watchdog` is for threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import TTAClientError
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import Course
from .condition import Bell


class AsyncWatchdog:
    """For one stream; `watch` is a task, if anybody wants it."""

    def __init__(self, course: Course, bell: Bell) -> None:
        self.verdict: TTAClientError | None = None  # why it ended the call
        self._course, self._bell = course, bell
        self._hang_up: Callable[[], Any] = lambda: None

    def dialled(self, hang_up: Callable[[], Any]) -> None:
        """A call has begun; `hang_up` ends it."""
        self._hang_up, self.verdict = hang_up, None
        if self._course.over:  # nobody would send anything
            hang_up()

    def give_up(self, why: TTAClientError) -> None:
        """Ends the call."""
        self._course.listens(None)
        self.verdict = why
        self._hang_up()

    async def watch(self) -> None:
        while True:
            left = self._course.patience(time.monotonic())
            if left <= 0:
                self.give_up(SILENT)
            else:
                await self._bell.wait(left)
