"""One call of a stream: its messages, its replies and how it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ..errors import TTAClientError
from ..protocol.stream_state import Result, StreamState
from ..v1 import tta_pb2
from .runtime import CallStatus, Condition, Workers, read_reply

Request = tta_pb2.ClassifyStreamRequest


class AsyncCall:
    """Holds at most one message that waits to be sent. A worker reads the replies one ahead.

    `changed` guards the state of the stream and of this call, and tells of their changes. `place` makes the call from
    its messages. They are an iterator, because a write() that fails beside a read() makes grpcio lose the replies that
    still wait.
    """

    def __init__(
        self,
        state: StreamState,
        changed: Condition,
        place: Callable[[AsyncIterator[Request]], Any],
        opening: Request,
    ) -> None:
        self.message: Request | None = None
        self.sending = self.closed = False  # whether a message is being made, and whether the call is over
        self._state, self._changed = state, changed
        self._reply: tuple[Any, BaseException | None] | None = None
        self._verdict: TTAClientError | None = None  # the error that this side ended the call with
        self._running = place(self._messages(opening))
        self.status, self._replies, self._workers = CallStatus(self._running), aiter(self._running), Workers()
        self._workers.start(self._read_replies)

    async def opens(self) -> bool:
        """Waits for the first reply, which stays. False: the call ended without one. Raises the error that ended it."""
        with self._changed:
            await self._changed.wait_for(lambda: self._reply)
            return self._check_reply() is not None

    async def next_results(self) -> Sequence[Result] | None:
        """The result of the next reply, after the failures that come before it, or these alone; None after the last.

        Raises the error that ended the call.
        """
        with self._changed:
            await self._changed.wait_for(lambda: self._reply or self._state.queue.failure_due)
            self._changed.notify_all()
            if self._reply is None:
                return self._state.take_failures()
            reply, self._reply = self._check_reply(), None
            if reply is None:
                return None
            result = self._state.read(reply, time.monotonic())
            return [] if result is None else [*self._state.take_failures(result.frame_id), result]

    def _check_reply(self) -> Any:
        reply, error = self._reply or (None, None)
        if error is not None:
            raise self._verdict or error
        return reply

    def give_up(self, error: TTAClientError) -> None:
        """Ends the call with that error."""
        self._state.reconnect.listen(None)
        self._verdict = error
        self._running.cancel()
        self._changed.notify_all()

    async def close(self) -> None:
        """Cancels the call."""
        self._running.cancel()
        with self._changed:
            self.closed, self._state.connected = True, False
            self._changed.notify_all()
        await self._workers.stop()

    async def _messages(self, opening: Request) -> AsyncIterator[Request]:
        """The opening message, then frames after the service's first reply."""
        yield opening
        while (message := await self._take_message()) is not None:
            yield message

    async def _take_message(self) -> Request | None:
        with self._changed:
            await self._changed.wait_for(lambda: self.message or self.closed or self._all_sent)
            message, self.message = None if self.closed else self.message, None
            self._changed.notify_all()
            return message

    @property
    def _all_sent(self) -> bool:
        return self._state.connected and self._state.all_sent and not self.sending

    async def _read_replies(self) -> None:
        reply, error = self, None
        while reply is not None and await self._wait_until_taken():
            try:
                reply = await read_reply(self._replies)
            except BaseException as raised:
                reply, error = None, raised
            with self._changed:
                self._state.reconnect.listen(None)
                self._reply = reply, error
                self._changed.notify_all()

    async def _wait_until_taken(self) -> bool:
        """Waits until the last reply was taken, and starts the watchdog for the next one. False: closed."""
        with self._changed:
            await self._changed.wait_for(lambda: self._reply is None or self.closed)
            if not self.closed:
                self._state.reconnect.listen(time.monotonic())
                self._changed.notify_all()
            return not self.closed
