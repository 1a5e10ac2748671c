"""Gives up a call: of a service that has something to say and is silent for too long, or as it is told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import TTAClientError
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState


class Watchdog:
    """For one stream, under the lock of its feed. A thread watches, if anybody wants it to."""

    def __init__(self, state: StreamState, changed: threading.Condition) -> None:
        self.verdict: TTAClientError | None = None  # why it ended the call
        self._state, self._changed = state, changed
        self._cancel: Callable[[], Any] = lambda: None

    def start(self) -> None:
        if self._state.has_watchdog:
            threading.Thread(target=self._watch, name="tta-stream-watchdog", daemon=True).start()

    def on_call_started(self, cancel: Callable[[], Any]) -> None:
        """A call has begun; `cancel` ends it."""
        with self._changed:
            self._cancel, self.verdict = cancel, None
            if self._state.closed:  # nobody would send anything
                cancel()

    def give_up(self, why: TTAClientError) -> None:
        """Ends the call. Under the lock."""
        self._state.listen(None)
        self.verdict = why
        self._cancel()

    def _watch(self) -> None:
        with self._changed:
            while not self._state.closed:
                left = self._state.seconds_left(time.monotonic())
                if left <= 0:
                    self.give_up(SILENT)
                else:
                    self._changed.wait(None if left == math.inf else left)
