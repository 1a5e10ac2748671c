"""Gives up a call; what `Watchdog` is for threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import TTAClientError
from ..protocol.reconnect import SILENT
from ..protocol.stream_state import StreamState
from .condition import Condition


class AsyncWatchdog:
    """For one stream; `watch` is a task, if anybody wants it."""

    def __init__(self, state: StreamState, changed: Condition) -> None:
        self.verdict: TTAClientError | None = None  # why it ended the call
        self._state, self._changed = state, changed
        self._cancel: Callable[[], Any] = lambda: None

    def on_call_started(self, cancel: Callable[[], Any]) -> None:
        """A call has begun; `cancel` ends it."""
        self._cancel, self.verdict = cancel, None
        if self._state.closed:  # nobody would send anything
            cancel()

    def give_up(self, why: TTAClientError) -> None:
        """Ends the call."""
        self._state.listen(None)
        self.verdict = why
        self._cancel()

    async def watch(self) -> None:
        while True:
            left = self._state.seconds_left(time.monotonic())
            if left <= 0:
                self.give_up(SILENT)
            else:
                await self._changed.wait(left)
