"""Gives up a service that has something to say and is silent for too long."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from .course import Course


class Watchdog:
    """For one stream, under the lock of its feed. A thread watches, if anybody wants it to."""

    def __init__(self, course: Course, moved: threading.Condition) -> None:
        self.barked = False  # it ended the call
        self._course, self._moved = course, moved
        self._hang_up: Callable[[], Any] = lambda: None

    def start(self) -> None:
        if self._course.watched:
            threading.Thread(target=self._watch, name="tta-stream-watchdog", daemon=True).start()

    def dialled(self, hang_up: Callable[[], Any]) -> None:
        """A call has begun; `hang_up` ends it."""
        with self._moved:
            self._hang_up, self.barked = hang_up, False

    def heard(self, listen: Callable[[], Any]) -> Any:
        """What `listen` gives; meanwhile the service had better say something."""
        with self._moved:
            self._course.listens(time.monotonic())
            self._moved.notify_all()
        try:
            return listen()
        finally:
            with self._moved:
                self._course.listens(None)

    def _watch(self) -> None:
        with self._moved:
            while not self._course.over:
                left = self._course.patience(time.monotonic())
                if left <= 0:
                    self._course.listens(None)
                    self.barked = True
                    self._hang_up()
                else:
                    self._moved.wait(None if left == math.inf else left)
