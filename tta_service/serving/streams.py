"""The frames of a stream: which wait, which are dropped, and how fast they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeVar

from ..core.errors import NotReady
from ..core.events import Dropped, Observe, ignore
from ..core.request import Request


class HasRequest(Protocol):
    """A frame of a stream of requests."""

    @property
    def request(self) -> Request:
        """Raises the `TTAError` of a frame that is no request."""
        ...


T = TypeVar("T")
R = TypeVar("R", bound=HasRequest)
Reason = Literal["superseded", "budget", "cancelled"]


class Policy(StrEnum):
    """Which frame is dropped when more arrive than are answered. The values are those of `Request.policy`."""

    LATEST = "latest"  # all but the newest
    DROP_OLDEST = "drop_oldest"  # the oldest in a full buffer
    DROP_NEWEST = "drop_newest"  # the one that finds the buffer full
    BLOCK = "block"  # none: the sender waits


@dataclass(frozen=True, slots=True)
class TakenFrame(Generic[T]):
    """A frame that has left the buffer."""

    frame: T
    dropped: int  # frames of this stream that were dropped since the one taken before it


@dataclass(slots=True)
class BufferTotals:
    """The frames that wait in the buffers of all streams: plain numbers that any thread may read."""

    frames: int = 0
    bytes: int = 0
    max_bytes: int = 1 << 62


class FrameBuffer(Generic[T]):
    """Holds at most `capacity` frames and `max_bytes`, and those of all streams together at most `totals.max_bytes`.

    A single frame may be larger: its size was checked before. The reader of the transport calls `put`, the stream's
    worker `ticket`. A frame stays in the buffer, where a newer one may replace it, until admission has a permit for it
    and it is taken.
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
        self._waiting: deque[tuple[T, int]] = deque()  # frames and their bytes
        self.bytes = self._dropped = 0
        self._finished = self._has_ticket = False
        self._changed, self._left = asyncio.Event(), asyncio.Event()  # left: a frame

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, frame: T, size: int) -> None:
        """Adds a frame of `size` bytes. With `BLOCK` it waits for room; the caller should read no further frame."""
        reason: Reason = "superseded" if len(self._waiting) >= self._capacity else "budget"
        while not self._finished and self._full(size):
            if self._policy is Policy.BLOCK:
                self._left.clear()
                await self._left.wait()
                continue
            if self._policy is Policy.DROP_NEWEST:
                return self._drop(reason)
            self._pop()
            self._drop(reason)
        if self._finished:
            return self._drop("cancelled")
        self._waiting.append((frame, size))
        self.bytes += size
        self._totals.frames += 1
        self._totals.bytes += size
        self._changed.set()

    async def ticket(self) -> FrameTicket[T] | None:
        """Waits until the ticket before was used, so that frames leave in order, and for a frame.

        None when the buffer is finished and no frame is left.
        """
        while self._has_ticket or not self._waiting:
            if self._finished and len(self._waiting) <= self._has_ticket:
                return None
            self._changed.clear()  # whoever waits already was woken, and checks again
            await self._changed.wait()
        self._has_ticket = True
        return FrameTicket(self)

    @property
    def first(self) -> T:
        """The frame that `take` would return now. Raises `NotReady` when there is none: the stream is closed."""
        if not self._waiting:
            raise NotReady("the stream has ended")
        return self._waiting[0][0]

    def take(self) -> TakenFrame[T]:
        """Takes the first frame out, for one ticket. Raises as `first`."""
        taken = TakenFrame(self.first, self._dropped)
        self._pop()
        self._dropped, self._has_ticket = 0, False
        self._changed.set()
        return taken

    def finish(self) -> None:
        """No more frames will come. Those that wait can still be taken."""
        self._finished = True
        self._changed.set()
        self._left.set()

    def close(self) -> None:
        """The stream has ended: the frames that wait are dropped."""
        while self._waiting:
            self._pop()
            self._drop("cancelled")
        self.finish()

    def _full(self, size: int) -> bool:
        too_heavy = self.bytes + size > self._max_bytes or self._totals.bytes + size > self._totals.max_bytes
        return bool(self._waiting) and (len(self._waiting) >= self._capacity or too_heavy)

    def _drop(self, reason: Reason) -> None:
        self._dropped += 1
        self._observe(Dropped(reason, self._policy.value))

    def _pop(self) -> None:
        _, size = self._waiting.popleft()
        self.bytes -= size
        self._totals.frames -= 1
        self._totals.bytes -= size
        self._left.set()


@dataclass(slots=True, eq=False)
class FrameTicket(Generic[T]):
    """A claim to one frame: the first in the buffer when it is taken. With frames of requests, a `PendingRequest`."""

    buffer: FrameBuffer[T]
    taken: TakenFrame[T] | None = None

    @property
    def frame(self) -> T:
        """The frame that would be taken now. Raises `NotReady` once the stream is closed."""
        return self.taken.frame if self.taken else self.buffer.first

    def take_frame(self) -> TakenFrame[T]:
        """Takes the frame out; a second call returns the same one. Raises `NotReady` once the stream is closed."""
        if self.taken is None:
            self.taken = self.buffer.take()
        return self.taken

    def peek(self: FrameTicket[R]) -> Request:
        """The request of `frame`."""
        return self.frame.request

    def take(self: FrameTicket[R]) -> Request:
        """The request of `take_frame()`."""
        return self.take_frame().frame.request


class RateLimiter:
    """`rate` events a second; up to `burst` seconds' worth may come at once. A `rate` of 0 is no limit.

    The caller passes the time, in seconds on a monotonic clock, and waits for itself.
    """

    def __init__(self, rate: float, burst: float = 0.25) -> None:
        self._interval, self._burst = 1 / rate if rate else 0.0, burst
        self._due = float("-inf")  # when the next event would come if all came evenly

    def delay(self, now: float) -> float:
        """Counts one event. Returns the seconds until the next one may follow."""
        self._due = max(self._due, now - self._burst) + self._interval
        return max(0.0, self._due - now)
