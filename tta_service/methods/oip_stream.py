"""One open stream of the Open Inference Protocol: requests of any models and sequences, answered in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from ..core.errors import NotReady, TTAError
from ..serving.streams import BufferTotals
from ..wire.status import to_tta_error
from ..wire.v1 import open_inference_pb2 as oip

Reply = oip.ModelStreamInferResponse
Infer = Callable[[oip.ModelInferRequest], Awaitable[Reply]]


class InferStream:
    """Requests are answered side by side, but those of one sequence one after the other.

    Of one stream at most `most` requests and `max_bytes` are in progress or unread; then its sender waits.
    """

    def __init__(self, infer: Infer, most: int, max_bytes: int, totals: BufferTotals) -> None:
        self._infer, self._most, self._max_bytes, self._totals = infer, most, max_bytes, totals
        self._outbox = asyncio.Queue[tuple[asyncio.Task[Reply], int] | None]()
        self._frames = self._bytes = 0
        self._room = asyncio.Event()
        self._closed = False
        self._ending: TTAError | None = None
        self._reader: asyncio.Task[None] | None = None
        self._tasks = set[asyncio.Task[Reply]]()

    async def replies(self, messages: AsyncIterator[oip.ModelInferRequest]) -> AsyncIterator[Reply]:
        """One for each request that came. Raises what ends the stream."""
        self._reader = asyncio.create_task(self._read(messages))
        while (sent := await self._outbox.get()) is not None:
            task, size = sent
            yield await task
            self._release(task, size)
        if self._ending:
            raise self._ending

    def drain(self) -> None:
        """Read no further request; those that came are answered, and then the stream ends with `NotReady`."""
        if self._reader and not self._reader.done():
            self._ending = NotReady("the server is stopping; open the stream again for another one")
            self._reader.cancel()

    def close(self) -> None:
        """Free all that the stream holds; what is in progress is cancelled."""
        if self._reader:
            self._reader.cancel()
        for task in self._tasks:
            task.cancel()
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else looks at it
        self._count(-self._frames, -self._bytes)
        self._closed = True

    async def _read(self, messages: AsyncIterator[oip.ModelInferRequest]) -> None:
        try:
            async for message in messages:
                size = message.ByteSize()
                while self._frames and (self._frames >= self._most or self._is_full(size)):
                    self._room.clear()
                    await self._room.wait()
                self._count(1, size)
                task = asyncio.ensure_future(self._infer(message))
                self._tasks.add(task)
                self._outbox.put_nowait((task, size))
        except asyncio.CancelledError:  # by `drain` or `close`
            pass
        except Exception as error:
            self._ending = to_tta_error(error)
        self._outbox.put_nowait(None)

    def _is_full(self, size: int) -> bool:
        return self._bytes + size > self._max_bytes or self._totals.bytes + size > self._totals.max_bytes

    def _count(self, frames: int, size: int) -> None:
        self._frames += frames
        self._bytes += size
        self._totals.frames += frames
        self._totals.bytes += size

    def _release(self, task: asyncio.Task[Reply], size: int) -> None:
        self._tasks.discard(task)
        if not self._closed:
            self._count(-1, -size)
        self._room.set()
