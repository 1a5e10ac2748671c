"""Ends the call of a service that owes a reply and has been silent for too long."""

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
    """The watchdog of one stream, under the lock of its `Sender`."""

    def __init__(self, state: StreamState, changed: threading.Condition) -> None:
        self.verdict: TTAClientError | None = None  # the error that it ended the call with
        self._state, self._changed = state, changed
        self._cancel: Callable[[], Any] = lambda: None

    def start(self) -> None:
        """Starts the thread, if the stream gives up silent services at all."""
        if self._state.has_watchdog:
            threading.Thread(target=self._watch, name="tta-stream-watchdog", daemon=True).start()

    def on_call_started(self, cancel: Callable[[], Any]) -> None:
        """A call began; `cancel` ends it."""
        with self._changed:
            self._cancel, self.verdict = cancel, None
            if self._state.closed:  # the stream ended while the call was being opened
                cancel()

    def give_up(self, error: TTAClientError) -> None:
        """Ends the call with that error. The caller holds the lock."""
        self._state.listen(None)
        self.verdict = error
        self._cancel()

    def _watch(self) -> None:
        with self._changed:
            while not self._state.closed:
                left = self._state.seconds_left(time.monotonic())
                if left <= 0:
                    self.give_up(SILENT)
                else:
                    self._changed.wait(None if left == math.inf else left)
