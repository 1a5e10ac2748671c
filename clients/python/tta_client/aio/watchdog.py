"""Ends the call of a silent service; `Watchdog` for tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import TTAClientError
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState
from .condition import Condition


class AsyncWatchdog:
    """The watchdog of one stream; `watch` runs as a task, if the stream gives up silent services at all."""

    def __init__(self, state: StreamState, changed: Condition) -> None:
        self.verdict: TTAClientError | None = None  # the error that it ended the call with
        self._state, self._changed = state, changed
        self._cancel: Callable[[], Any] = lambda: None

    def on_call_started(self, cancel: Callable[[], Any]) -> None:
        """A call began; `cancel` ends it."""
        self._cancel, self.verdict = cancel, None
        if self._state.closed:  # the stream ended while the call was being opened
            cancel()

    def give_up(self, error: TTAClientError) -> None:
        """Ends the call with that error."""
        self._state.listen(None)
        self.verdict = error
        self._cancel()

    async def watch(self) -> None:
        """Watches until it is cancelled."""
        while True:
            left = self._state.seconds_left(time.monotonic())
            if left <= 0:
                self.give_up(SILENT)
            else:
                await self._changed.wait(left)
