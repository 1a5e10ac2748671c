"""The replies of one call, read in a thread of their own: a failure on this side is told without waiting for one."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..protocol.stream_state import FAILURE_DUE, StreamState


class Replies:
    """Of a `running` call, under the lock of its feed. At most one waits here."""

    def __init__(self, running: Any, state: StreamState, changed: threading.Condition) -> None:
        self._running, self._state, self._changed = running, state, changed
        self._closed = False
        self._read: tuple[Any, BaseException | None] | None = None
        threading.Thread(target=self._work, name="tta-stream-replies", daemon=True).start()

    def next(self, news: bool = True) -> Any:
        """The next reply, None after the last; `FAILURE_DUE` when a failure is to be told before it comes.

        Raises what ended the call.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._read or (news and self._state.failure_due))
            if self._read is None:
                return FAILURE_DUE
            (reply, error), self._read = self._read, None  # the thread hears of it with all others, when it is used
            if error is not None:
                raise error
            return reply

    def close(self) -> None:
        self._running.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        reply, error = self, None
        while reply is not None and self._free():
            try:
                reply = next(self._running, None)
            except BaseException as raised:
                reply, error = None, raised
            with self._changed:
                self._state.listen(None)
                self._read = reply, error
                self._changed.notify_all()

    def _free(self) -> bool:
        """Whether another reply is wanted; meanwhile the service had better say something."""
        with self._changed:
            self._changed.wait_for(lambda: self._read is None or self._closed)
            if not self._closed:
                self._state.listen(time.monotonic())
                self._changed.notify_all()
            return not self._closed
