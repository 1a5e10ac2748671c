"""Who may enter the hallway: a semaphore of rows, first come first served, single calls before streams.

Whoever waits here has cost nothing yet: no decode, no turn. So a frame that waits may still be replaced by a newer one,
and the age of an answer is bounded by the rows inside, however many cameras there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from ..core.errors import NotReady, Overloaded
from .rate import Rate


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody outside."""

    rows: int
    let_in: asyncio.Future[None]


class Place:
    """The rows of one request inside; given back at the end of the `with` block."""

    def __init__(self, rows: int, grew: Callable[[int], None], left: Callable[[int, bool], None]) -> None:
        self.rows, self._grew, self._left = rows, grew, left

    def resize(self, rows: int) -> None:
        """It turned out to be another number of rows. Never waits: the next to enter does."""
        self._grew(rows - self.rows)
        self.rows = rows

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left(self.rows, kind is None)


class Door:
    """`room` rows may be inside (two batches' worth), `max_waiting` single calls and as many frames outside."""

    def __init__(self, room: int, max_waiting: int = 256, clock: Callable[[], float] = time.monotonic) -> None:
        self._room, self._max_waiting, self._clock = room, max_waiting, clock
        self._unary: deque[Waiter] = deque()
        self._streams: deque[Waiter] = deque()
        self._inside = self._requests = self._outside = 0
        self._waking = 0  # let in, but not yet running
        self._rate, self._since = Rate(), clock()
        self._closed = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def waiting(self) -> int:
        """Requests outside."""
        return len(self._unary) + len(self._streams)

    @property
    def depths(self) -> dict[str, int]:
        """Requests outside, single calls and streams' frames apart."""
        return {"calls": len(self._unary), "streams": len(self._streams)}

    @property
    def limits(self) -> dict[str, int]:
        """How many of each kind may wait."""
        return dict.fromkeys(self.depths, self._max_waiting)

    @property
    def requests(self) -> int:
        """Requests inside."""
        return self._requests

    @property
    def inside(self) -> int:
        """Rows of the requests inside."""
        return self._inside

    @property
    def outside(self) -> int:
        """Rows of the requests outside."""
        return self._outside

    @property
    def load(self) -> float:
        """Seconds that the rows inside and outside are expected to take; 0 when nothing was measured yet."""
        return self._rate.seconds_for(self._inside + self._outside, unknown=0.0)

    async def enter(self, rows: int, streamed: bool = False) -> Place:
        """Waits for room; use the place at once in a `with` block. A request larger than the room enters alone.

        Raises `Overloaded` when too many wait already, `NotReady` once the door is closed.
        """
        if self._closed:
            raise NotReady("the server is draining")
        queue = self._streams if streamed else self._unary
        if len(queue) >= self._max_waiting:
            raise Overloaded(f"{len(queue)} requests wait already", retry_after=min(60.0, max(0.1, self.load or 1.0)))
        waiter = Waiter(rows, asyncio.get_running_loop().create_future())
        queue.append(waiter)
        self._outside += rows
        behind = self._waking > 0
        self._let_in()
        try:
            if behind and waiter.let_in.done():
                await asyncio.sleep(0)  # those who were let in before go first
            await waiter.let_in
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
                self._outside -= rows
                self._let_in()
            elif _entered(waiter):
                self._leave(rows, answered=False)  # it was let in and left in the same moment
            raise
        finally:
            self._waking -= _entered(waiter)
        return Place(rows, self._grow, self._leave)

    def close(self) -> None:
        """Nobody enters any more; those outside are told so."""
        self._closed = True
        for queue in (self._unary, self._streams):
            while queue:
                waiter = queue.popleft()
                self._outside -= waiter.rows
                if not waiter.let_in.done():
                    waiter.let_in.set_exception(NotReady("the server is draining"))

    async def empty(self) -> None:
        """Returns when the last request inside has left."""
        await self._emptied.wait()

    def _let_in(self) -> None:
        while queue := self._unary or self._streams:
            if self._requests and self._inside + queue[0].rows > self._room:
                return
            waiter = queue.popleft()
            self._outside -= waiter.rows
            if waiter.let_in.done():  # cancelled, and about to wake
                continue
            if not self._requests:
                self._since = self._clock()
            self._inside += waiter.rows
            self._requests += 1
            self._emptied.clear()
            self._waking += 1
            waiter.let_in.set_result(None)

    def _grow(self, rows: int) -> None:
        self._inside += rows
        self._let_in()

    def _leave(self, rows: int, answered: bool) -> None:
        self._inside -= rows
        self._requests -= 1
        if answered:
            now = self._clock()
            self._rate.add(rows, now - self._since)
            self._since = now
        if not self._requests:
            self._emptied.set()
        self._let_in()


def _entered(waiter: Waiter) -> bool:
    let_in = waiter.let_in
    return let_in.done() and not let_in.cancelled() and let_in.exception() is None
