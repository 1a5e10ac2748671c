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
class Taken(Generic[T]):
    """A frame that has left the buffer."""

    frame: T
    dropped: int  # frames of this stream that were dropped since the one taken before it


@dataclass(slots=True)
class Buffered:
    """What waits in the buffers of all streams together: plain numbers that may be read from any thread."""

    frames: int = 0
    bytes: int = 0
    most: int = 1 << 62  # bytes


class Frames(Generic[T]):
    """At most `capacity` frames and `max_bytes` wait, and `everywhere.most` bytes of all streams; one frame alone may
    be larger, for its size was checked before.

    The reader of the transport calls `put`, the stream's worker `offer`. A frame stays here, where a newer one may
    still replace it, until the hallway has room and `Offer.take` is called.
    """

    def __init__(
        self,
        policy: Policy,
        capacity: int = 8,
        max_bytes: int = 64 << 20,
        observe: Observe = ignore,
        everywhere: Buffered | None = None,
    ) -> None:
        self._policy, self._capacity = policy, 1 if policy is Policy.LATEST else capacity
        self._max_bytes, self._observe, self._everywhere = max_bytes, observe, everywhere or Buffered()
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = self._dropped = self._offered = 0
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
            await self._change()
        if self._finished:
            return self._drop("cancelled")
        reason: Reason = "superseded" if len(self._waiting) >= self._capacity else "budget"
        if self._policy is Policy.DROP_NEWEST and self._full(size):
            return self._drop(reason)
        while self._full(size) and len(self._waiting) >= self._offered:  # whoever holds an offer will find a frame
            self._pop()
            self._drop(reason)
        self._waiting.append((frame, size))
        self._weigh(1, size)
        self._changed.set()

    async def offer(self) -> Offer[T] | None:
        """Waits for a frame that no open offer stands for. None: finished, and nothing more will come."""
        while len(self._waiting) <= self._offered:
            if self._finished:
                return None
            await self._change()
        self._offered += 1
        return Offer(self._next, self._take)

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
        too_heavy = self._bytes + size > self._max_bytes or self._everywhere.bytes + size > self._everywhere.most
        return bool(self._waiting) and (len(self._waiting) >= self._capacity or too_heavy)

    def _drop(self, reason: Reason) -> None:
        self._dropped += 1
        self._observe(Dropped(reason, self._policy.value))

    def _pop(self) -> T:
        frame, size = self._waiting.popleft()
        self._weigh(-1, -size)
        self._changed.set()
        return frame

    def _weigh(self, frames: int, size: int) -> None:
        self._bytes += size
        self._everywhere.frames += frames
        self._everywhere.bytes += size

    async def _change(self) -> None:
        self._changed.clear()  # whoever waits already has been woken: each one looks again for itself
        await self._changed.wait()

    def _take(self) -> Taken[T]:
        self._next()
        frame, dropped = self._pop(), self._dropped
        self._dropped, self._offered = 0, self._offered - 1
        return Taken(frame, dropped)

    def _next(self) -> T:
        if not self._waiting:
            raise NotReady("the stream has ended")
        return self._waiting[0][0]


class Offer(Generic[T]):
    """The promise of one frame: the one that stands first when it is taken."""

    def __init__(self, next: Callable[[], T], take: Callable[[], Taken[T]]) -> None:
        self._next, self._take = next, take
        self._taken: Taken[T] | None = None

    @property
    def frame(self) -> T:
        """What `take` would give now. `NotReady` once the stream has been closed."""
        return self._taken.frame if self._taken else self._next()

    def take(self) -> Taken[T]:
        """The frame leaves the buffer; called again, the same frame. `NotReady` once the stream has been closed."""
        if self._taken is None:
            self._taken = self._take()
        return self._taken
