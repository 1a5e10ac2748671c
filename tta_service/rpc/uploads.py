"""Messages of unary calls, counted before they are read: until then HTTP/2's windows keep them with their senders."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from ..core.errors import BadRequest, Overloaded

WAITING = 256  # calls of one client that may wait for room; further ones are refused at once


@dataclass(slots=True, eq=False)
class Upload:
    """A message that waits, is read or is held, and the bytes that it counts for: its most, until it is there."""

    client: str
    room: asyncio.Future[None]  # done when it may be read
    bytes: int = 0


class UploadBudget:
    """At most `total_bytes` of messages, from before they are read until their calls end; `share` of it for one client.

    A call waits for room in its client's queue, and clients take turns. It has `seconds` to get room, and as many to
    arrive. A message above a bound is read when it is the only one there.
    """

    def __init__(
        self, message_bytes: int = 9 << 20, total_bytes: int = 512 << 20, share: float = 0.5, seconds: float = 30.0
    ) -> None:
        self._message_bytes, self._total, self._per_client = message_bytes, total_bytes, share * total_bytes
        self._seconds, self.bytes, self.waiting = seconds, 0, 0  # any thread may read these two
        self._used: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[Upload]] = OrderedDict()

    @asynccontextmanager
    async def read(self, client: str, receive: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
        """The message that `receive()` gives. It counts until the block ends. Raises `Overloaded`, `BadRequest`."""
        upload = Upload(client, asyncio.get_running_loop().create_future())
        try:
            await self._wait_for_room(upload)
            try:
                async with asyncio.timeout(self._seconds):
                    raw = await receive()
            except TimeoutError:
                raise BadRequest(f"the message did not arrive within {self._seconds:g} s") from None
            self._resize(upload, len(raw))
            yield raw
        finally:
            self._resize(upload, 0)

    async def _wait_for_room(self, upload: Upload) -> None:
        queue = self._queues.setdefault(upload.client, deque())
        if len(queue) >= WAITING:
            raise Overloaded(f"{WAITING} calls of yours wait already until this server has room to read them")
        queue.append(upload)
        self._admit_from(upload.client)
        if upload.room.done():
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await upload.room
        except TimeoutError:
            raise Overloaded(f"this server had no room for your message within {self._seconds:g} s") from None
        finally:
            self.waiting -= 1

    def _resize(self, upload: Upload, size: int) -> None:
        self.bytes += size - upload.bytes
        self._used[upload.client] += size - upload.bytes
        upload.bytes = size
        if not self._used[upload.client]:
            del self._used[upload.client]
        for client in list(self._queues):
            self._admit_from(client)

    def _admit_from(self, client: str) -> None:
        """Reads on in the client's queue as far as there is room. Calls that have ended are passed over."""
        queue = self._queues[client]
        while queue and (queue[0].room.done() or self._fits(client)):
            upload = queue.popleft()
            if not upload.room.done():
                upload.room.set_result(None)
                upload.bytes = self._message_bytes
                self.bytes += upload.bytes
                self._used[client] += upload.bytes
                self._queues.move_to_end(client)  # others first, next time
        if not queue:
            del self._queues[client]

    def _fits(self, client: str) -> bool:
        size, used = self._message_bytes, self._used[client]
        return not ((self.bytes and self.bytes + size > self._total) or (used and used + size > self._per_client))


async def receive_one(context: Any) -> bytes:
    """The message of a call that has one. Raises `BadRequest` when it ends without."""
    raw = await context.read()
    if raw is grpc.aio.EOF:  # pyright: ignore[reportAttributeAccessIssue]
        raise BadRequest("a call has a message, and none came")
    return raw
