"""The replies of one call and its final status; `AsyncReplies` is `Replies` for tasks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from ..errors import TTAClientError, from_ending
from ..protocol.stream_state import FAILURE_DUE, StreamState
from .condition import Condition


class AsyncReplies:
    """The replies of the call `running`. Each is read in a task, which starts with `next`."""

    def __init__(self, running: Any, state: StreamState, changed: Condition) -> None:
        self._running, self._state, self._changed = running, state, changed
        self._replies = aiter(running)
        self._reading: asyncio.Task[Any] | None = None

    async def next(self, failures: bool = True) -> Any:
        """The next reply, None after the last; `FAILURE_DUE` when a failure is due before it comes.

        Without `failures` it waits for the reply alone. Raises the error that ended the call.
        """
        if self._reading is None:
            self._state.listen(time.monotonic())
            self._reading = asyncio.create_task(self._read())
            self._changed.notify_all()
        while not self._reading.done():
            if failures and self._state.failure_due:
                return FAILURE_DUE
            await self._changed.wait()
        reading, self._reading = self._reading, None
        if reading.cancelled():
            # grpcio reports both a CANCELLED of the server and our own cancellation in this way.
            raise TTAClientError(grpc.StatusCode.CANCELLED, "the call was cancelled on its way")
        return reading.result()

    async def close(self) -> None:
        """Cancels the call."""
        self._running.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> Any:
        try:
            return await anext(self._replies, None)
        finally:
            self._state.listen(None)
            self._changed.notify_all()


class CallStatus:
    """The final status of a call, although grpcio may change it.

    A write that loses the race against the end of the call makes grpcio report a status of its own ("Internal error
    from Core") before or after the service's. So every status is noted at once, and the service's is used.
    """

    def __init__(self, running: Any) -> None:
        self._running, self._statuses = running, list[tuple[Any, Any, Any]]()
        running.add_done_callback(self._note)

    async def error(self) -> TTAClientError:
        """The error of the service's status, which may come up to one second after grpcio's own."""
        for _ in range(100):
            code, details, metadata = await self._read()
            self._statuses.append((code, details, metadata))
            for status in self._statuses:
                if status[1] != "Internal error from Core":
                    return from_ending(*status)
            await asyncio.sleep(0.01)
        return from_ending(*self._statuses[-1])

    async def _read(self) -> tuple[Any, Any, Any]:
        running = self._running
        return await running.code(), await running.details(), await running.trailing_metadata()

    def _note(self, _: Any) -> None:
        reading = self._read()
        try:
            reading.send(None)  # the call is done, so reading never waits
        except StopIteration as done:
            self._statuses.append(done.value)
        else:
            reading.close()
