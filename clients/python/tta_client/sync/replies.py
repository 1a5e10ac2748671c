"""The replies of one call, read in a thread of their own, so that a failure on this side need not wait for a reply."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..protocol.stream_state import FAILURE_DUE, StreamState


class Replies:
    """The replies of the call `running`, under the lock of its `Sender`. At most one waits here."""

    def __init__(self, running: Any, state: StreamState, changed: threading.Condition) -> None:
        self._running, self._state, self._changed = running, state, changed
        self._closed = False
        self._read: tuple[Any, BaseException | None] | None = None
        threading.Thread(target=self._work, name="tta-stream-replies", daemon=True).start()

    def next(self, failures: bool = True) -> Any:
        """The next reply, None after the last; `FAILURE_DUE` when a failure is due before it comes.

        Without `failures` it waits for the reply alone. Raises the error that ended the call.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._read or (failures and self._state.failure_due))
            if self._read is None:
                return FAILURE_DUE
            (reply, error), self._read = self._read, None  # the next notification, after its use, wakes the thread
            if error is not None:
                raise error
            return reply

    def close(self) -> None:
        """Cancels the call."""
        self._running.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        reply, error = self, None
        while reply is not None and self._wait_until_taken():
            try:
                reply = next(self._running, None)
            except BaseException as raised:
                reply, error = None, raised
            with self._changed:
                self._state.listen(None)
                self._read = reply, error
                self._changed.notify_all()

    def _wait_until_taken(self) -> bool:
        """Waits until the last reply was taken, and starts the watchdog for the next one. False: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._read is None or self._closed)
            if not self._closed:
                self._state.listen(time.monotonic())
                self._changed.notify_all()
            return not self._closed
