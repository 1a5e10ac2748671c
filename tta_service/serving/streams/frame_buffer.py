"""The policy buffer of one stream: which frames wait, and which give way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from ...core.errors import NotReady
from ...core.events import Dropped, Observe, ignore

T = TypeVar("T")
Reason = Literal["superseded", "budget", "draining", "cancelled"]


class Policy(StrEnum):
    """Who gives way when more frames come than are answered. The values are what `Request.policy` carries."""

    LATEST = "latest"  # only the newest waiting frame is kept
    DROP_OLDEST = "drop_oldest"  # the oldest makes room
    DROP_NEWEST = "drop_newest"  # the newcomer is dropped
    BLOCK = "block"  # the sender waits; every frame is answered


@dataclass(frozen=True, slots=True)
class TakenFrame(Generic[T]):
    """A frame that has left the buffer."""

    frame: T
    dropped: int  # frames of this stream that were dropped since the one taken before it


@dataclass(slots=True)
class BufferTotals:
    """What waits in the buffers of all streams together: plain numbers that may be read from any thread."""

    frames: int = 0
    bytes: int = 0
    most: int = 1 << 62  # bytes


class FrameBuffer(Generic[T]):
    """At most `capacity` frames and `max_bytes` wait, and `totals.most` bytes of all streams; one frame alone may
    be larger, for its size was checked before.

    The reader of the transport calls `put`, the stream's worker `ticket`. A frame stays here, where a newer one may
    still replace it, until the hallway has room and `FrameTicket.take` is called.
    """

    def __init__(
        self,
        policy: Policy,
        capacity: int = 8,
        max_bytes: int = 64 << 20,
        observe: Observe = ignore,
        totals: BufferTotals | None = None,
    ) -> None:
        self._policy, self._capacity = policy, 1 if policy is Policy.LATEST else capacity
        self._max_bytes, self._observe, self._totals = max_bytes, observe, totals or BufferTotals()
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = self._dropped = self._tickets = 0
        self._finished = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """Bytes of the frames that wait."""
        return self._bytes

    async def put(self, frame: T, size: int) -> None:
        """Takes in a frame of `size` bytes. Only `BLOCK` ever waits here, for room; meanwhile read nothing more."""
        while self._policy is Policy.BLOCK and self._full(size) and not self._finished:
            await self._wait_changed()
        if self._finished:
            return self._drop("cancelled")
        reason: Reason = "superseded" if len(self._waiting) >= self._capacity else "budget"
        if self._policy is Policy.DROP_NEWEST and self._full(size):
            return self._drop(reason)
        while self._full(size) and len(self._waiting) >= self._tickets:  # whoever holds an offer will find a frame
            self._pop()
            self._drop(reason)
        self._waiting.append((frame, size))
        self._account(1, size)
        self._changed.set()

    async def ticket(self) -> FrameTicket[T] | None:
        """Waits for a frame that no open offer stands for. None: finished, and nothing more will come."""
        while len(self._waiting) <= self._tickets:
            if self._finished:
                return None
            await self._wait_changed()
        self._tickets += 1
        return FrameTicket(self._next, self._take)

    def finish(self) -> None:
        """The sender has said all. What waits is still offered."""
        self._finished = True
        self._changed.set()

    def close(self, reason: Reason = "cancelled") -> None:
        """The stream has ended: what waits is dropped."""
        while self._waiting:
            self._pop()
            self._drop(reason)
        self.finish()

    def _full(self, size: int) -> bool:
        too_heavy = self._bytes + size > self._max_bytes or self._totals.bytes + size > self._totals.most
        return bool(self._waiting) and (len(self._waiting) >= self._capacity or too_heavy)

    def _drop(self, reason: Reason) -> None:
        self._dropped += 1
        self._observe(Dropped(reason, self._policy.value))

    def _pop(self) -> T:
        frame, size = self._waiting.popleft()
        self._account(-1, -size)
        self._changed.set()
        return frame

    def _account(self, frames: int, size: int) -> None:
        self._bytes += size
        self._totals.frames += frames
        self._totals.bytes += size

    async def _wait_changed(self) -> None:
        self._changed.clear()  # whoever waits already has been woken: each one looks again for itself
        await self._changed.wait()

    def _take(self) -> TakenFrame[T]:
        self._next()
        frame, dropped = self._pop(), self._dropped
        self._dropped, self._tickets = 0, self._tickets - 1
        return TakenFrame(frame, dropped)

    def _next(self) -> T:
        if not self._waiting:
            raise NotReady("the stream has ended")
        return self._waiting[0][0]


class FrameTicket(Generic[T]):
    """The promise of one frame: the one that stands first when it is taken."""

    def __init__(self, next: Callable[[], T], take: Callable[[], TakenFrame[T]]) -> None:
        self._next, self._take = next, take
        self._taken: TakenFrame[T] | None = None

    @property
    def frame(self) -> T:
        """What `take` would give now. `NotReady` once the stream has been closed."""
        return self._taken.frame if self._taken else self._next()

    def take(self) -> TakenFrame[T]:
        """The frame leaves the buffer; called again, the same frame. `NotReady` once the stream has been closed."""
        if self._taken is None:
            self._taken = self._take()
        return self._taken
