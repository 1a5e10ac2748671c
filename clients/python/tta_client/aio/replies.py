"""The replies of one call of a stream, and its final status."""

from __future__ import annotations

import time
from typing import Any

from ..errors import TTAClientError
from ..protocol.stream_state import FAILURE_DUE, StreamState
from .runtime import CallStatus, Condition, Workers, read_reply


class AsyncReplies:
    """The replies of the call `running`. A worker reads them one ahead, so that a failure on this side is not held up.

    The callers share the condition `changed` with the worker.
    """

    def __init__(self, running: Any, state: StreamState, changed: Condition) -> None:
        self._running, self._state, self._changed = running, state, changed
        self._status, self._replies, self._workers = CallStatus(running), aiter(running), Workers()
        self._closed = False
        self._read: tuple[Any, BaseException | None] | None = None
        self._workers.start(self._read_replies)

    async def next(self, failures: bool = True) -> Any:
        """The next reply, None after the last; `FAILURE_DUE` when a failure is due before it comes.

        Without `failures` it waits for the reply alone. Raises the error that ended the call.
        """
        with self._changed:
            await self._changed.wait_for(lambda: self._read or (failures and self._state.failure_due))
            if self._read is None:
                return FAILURE_DUE
            (reply, error), self._read = self._read, None  # the next notification, after its use, wakes the worker
            if error is not None:
                raise error
            return reply

    async def error(self) -> TTAClientError:
        """The error of the call's final status, after `next` has raised it."""
        return await self._status.error()

    async def close(self) -> None:
        """Cancels the call."""
        self._running.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        await self._workers.stop()

    async def _read_replies(self) -> None:
        reply, error = self, None
        while reply is not None and await self._wait_until_taken():
            try:
                reply = await read_reply(self._replies)
            except BaseException as raised:
                reply, error = None, raised
            with self._changed:
                self._state.listen(None)
                self._read = reply, error
                self._changed.notify_all()

    async def _wait_until_taken(self) -> bool:
        """Waits until the last reply was taken, and starts the watchdog for the next one. False: closed."""
        with self._changed:
            await self._changed.wait_for(lambda: self._read is None or self._closed)
            if not self._closed:
                self._state.listen(time.monotonic())
                self._changed.notify_all()
            return not self._closed
