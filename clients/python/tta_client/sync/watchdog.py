"""Gives up a call: of a service that has something to say and is silent for too long, or as it is told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import TTAClientError
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import Course


class Watchdog:
    """For one stream, under the lock of its feed. A thread watches, if anybody wants it to."""

    def __init__(self, course: Course, moved: threading.Condition) -> None:
        self.verdict: TTAClientError | None = None  # why it ended the call
        self._course, self._moved = course, moved
        self._hang_up: Callable[[], Any] = lambda: None

    def start(self) -> None:
        if self._course.watched:
            threading.Thread(target=self._watch, name="tta-stream-watchdog", daemon=True).start()

    def dialled(self, hang_up: Callable[[], Any]) -> None:
        """A call has begun; `hang_up` ends it."""
        with self._moved:
            self._hang_up, self.verdict = hang_up, None
            if self._course.over:  # nobody would send anything
                hang_up()

    def give_up(self, why: TTAClientError) -> None:
        """Ends the call. Under the lock."""
        self._course.listens(None)
        self.verdict = why
        self._hang_up()

    def _watch(self) -> None:
        with self._moved:
            while not self._course.over:
                left = self._course.patience(time.monotonic())
                if left <= 0:
                    self.give_up(SILENT)
                else:
                    self._moved.wait(None if left == math.inf else left)
