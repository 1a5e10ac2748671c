"""The replies of one call, read in a task of their own; what `Replies` is for threads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from ..errors import TTAClientError
from ..protocol.stream_state import FAILURE_DUE, StreamState
from .condition import Condition


class AsyncReplies:
    """Of a `running` call. A reply is read when somebody asks for it."""

    def __init__(self, running: Any, state: StreamState, changed: Condition) -> None:
        self._running, self._state, self._changed = running, state, changed
        self._replies = aiter(running)
        self._reading: asyncio.Task[Any] | None = None

    async def next(self, news: bool = True) -> Any:
        """The next reply, None after the last; `FAILURE_DUE` when a failure is to be told before it comes.

        Raises what ended the call.
        """
        if self._reading is None:
            self._state.listen(time.monotonic())
            self._reading = asyncio.create_task(self._read())
            self._changed.notify_all()
        while not self._reading.done():
            if news and self._state.failure_due:
                return FAILURE_DUE
            await self._changed.wait()
        reading, self._reading = self._reading, None
        if reading.cancelled():
            # So grpcio tells of a CANCELLED that came from the other side, or of our own hanging up.
            raise TTAClientError(grpc.StatusCode.CANCELLED, "the call was cancelled on its way")
        return reading.result()

    async def close(self) -> None:
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
