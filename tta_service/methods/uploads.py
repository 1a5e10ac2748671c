"""Messages of single calls, counted before they are read: until then the transport's windows hold up their senders."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from ..core.errors import BadImage, BadRequest, Overloaded
from .flow_control import ReadingPace

FULL = "the messages that this server reads now take all the memory that it has for them"
QUOTA = "limits.all_calls_bytes"
LARGE, SLOW = 64 << 10, 1024  # bytes of a message that costs something to read; clients that are read slowly
WAITING = 256  # calls of one client that may wait for room; further ones are refused at once


@dataclass(slots=True, eq=False)
class Upload:
    """A message that waits, is read or is held, and the bytes that it counts for: its most, until it is there."""

    client: str
    most: int
    bytes: int = 0


@dataclass(slots=True, eq=False)
class Waiter:
    """A message that waits for room."""

    upload: Upload
    room: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class UploadBudget:
    """At most `total_bytes` of messages, from before they are read until their calls end; `share` of it for one client.

    A call waits for room in its client's queue, and clients take turns. It has `seconds` to get room (or is refused at
    once, unless it `waits`), and as many to arrive. A message above a bound is read when it is the only one there. A
    client's messages wait the longer the more of its large ones are refused in a row as no pictures or no requests.
    """

    def __init__(
        self,
        message_bytes: int = 9 << 20,
        total_bytes: int = 512 << 20,
        share: float = 0.5,
        seconds: float = 30.0,
        waits: bool = True,
    ) -> None:
        self.message_bytes, self._total, self._per_client = message_bytes, total_bytes, share * total_bytes
        self._seconds, self._waits, self.bytes, self.waiting = seconds, waits, 0, 0  # any thread may read the last two
        self._used: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._paces = dict[str, ReadingPace]()  # of clients that send large messages in vain

    @asynccontextmanager
    async def read(
        self, client: str, receive: Callable[[], Awaitable[bytes]], most: int | None = None
    ) -> AsyncGenerator[bytes]:
        """The message that `receive()` gives, of at most so many bytes. It counts until the block ends.

        Raises `Overloaded`, `BadRequest`.
        """
        upload = Upload(client, self.message_bytes if most is None else most)
        if pace := self._paces.get(client):
            await asyncio.sleep(pace.delay(time.monotonic()))
        try:
            if client in self._queues or not self._fits(upload):
                await self._wait_for_room(upload)
            else:
                self._resize(upload, upload.most)
            try:
                async with asyncio.timeout(self._seconds):
                    raw = await receive()
            except TimeoutError:
                raise BadRequest(f"the message did not arrive within {self._seconds:g} s") from None
            self._resize(upload, len(raw))
            yield raw
            self._learn(client, bad=False)
        except (BadImage, BadRequest):
            self._learn(client, bad=upload.bytes > LARGE)
            raise
        finally:
            self._resize(upload, 0)

    @contextmanager
    def hold(self, client: str, size: int) -> Generator[None]:
        """Counts so many bytes more until the block ends. Raises `Overloaded` where there is no room now."""
        upload = Upload(client, size)
        if not self._fits(upload):
            raise Overloaded(FULL)
        self._resize(upload, size)
        try:
            yield
        finally:
            self._resize(upload, 0)

    def _learn(self, client: str, bad: bool) -> None:
        pace = self._paces.pop(client, None) or (ReadingPace(0.0) if bad else None)
        if pace and pace.add(bad):
            self._paces[client] = pace
            if len(self._paces) > SLOW:
                self._paces.pop(next(iter(self._paces)))

    async def _wait_for_room(self, upload: Upload) -> None:
        if not self._waits:
            raise Overloaded(FULL)
        queue, waiter = self._queues.setdefault(upload.client, deque()), Waiter(upload)
        if len(queue) >= WAITING:
            error = Overloaded(f"{WAITING} calls of yours wait already until this server has room to read them")
            raise error.of_quota(QUOTA)
        queue.append(waiter)
        self._admit_from(upload.client)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await waiter.room
        except TimeoutError:
            raise Overloaded(f"this server had no room for your message within {self._seconds:g} s") from None
        finally:
            self.waiting -= 1

    def _resize(self, upload: Upload, size: int) -> None:
        self._count(upload, size)
        for client in list(self._queues):
            self._admit_from(client)

    def _count(self, upload: Upload, size: int) -> None:
        self.bytes += size - upload.bytes
        self._used[upload.client] += size - upload.bytes
        upload.bytes = size
        if not self._used[upload.client]:
            del self._used[upload.client]

    def _admit_from(self, client: str) -> None:
        """Reads on in the client's queue as far as there is room. Calls that have ended are passed over."""
        queue = self._queues[client]
        while queue and (queue[0].room.done() or self._fits(queue[0].upload)):
            waiter = queue.popleft()
            if not waiter.room.done():
                waiter.room.set_result(None)
                self._count(waiter.upload, waiter.upload.most)
                self._queues.move_to_end(client)  # others first, next time
        if not queue:
            del self._queues[client]

    def _fits(self, upload: Upload) -> bool:
        size, used = upload.most, self._used[upload.client]
        return not ((self.bytes and self.bytes + size > self._total) or (used and used + size > self._per_client))
