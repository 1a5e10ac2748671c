"""Who may enter the hallway: a semaphore of rows, first come first served, single calls before streams.

Whoever waits here has cost nothing yet: no decode, no turn. So a frame that waits may still be replaced by a newer one,
and the age of an answer is bounded by the rows inside, however many cameras there are.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial

from ...core.errors import NotReady, Overloaded
from .quotas import Shares
from .throughput import Rate
from .tickets import Outside, Place, Visitor, Waiter


class Door:
    """`room` rows may be inside (two batches' worth), `max_waiting` single calls and as many frames outside.

    `shares` bounds the work of all who are inside or outside. Whoever cannot wait any longer for room enters without,
    as a single row.
    """

    def __init__(
        self,
        room: int,
        max_waiting: int = 256,
        clock: Callable[[], float] = time.monotonic,
        shares: Shares | None = None,
    ) -> None:
        self._room, self._max_waiting, self._clock, self._shares = room, max_waiting, clock, shares or Shares()
        self._outside = Outside()
        self._inside = self._requests = 0
        self._waking = 0  # let in, but not yet running
        self._rate, self._since = Rate(), clock()
        self._closed = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def waiting(self) -> int:
        """Requests outside."""
        return sum(self.depths.values())

    @property
    def depths(self) -> dict[str, int]:
        """Requests outside, single calls and streams' frames apart."""
        return {"calls": len(self._outside.calls), "streams": len(self._outside.frames)}

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
        return self._outside.rows

    @property
    def load(self) -> float:
        """Seconds that the rows inside and outside are expected to take; 0 when nothing was measured yet."""
        return self._rate.seconds_for(self._inside + self._outside.rows, unknown=0.0)

    @property
    def cost(self) -> int:
        """Rows times passes of the requests inside and outside."""
        return self._shares.total

    async def enter(self, visitor: Visitor) -> Place:
        """Waits for room; use the place at once in a `with` block. A request larger than the room enters alone.

        Raises `Overloaded` when too many wait already, `NotReady` once the door is closed.
        """
        if self._closed:
            raise NotReady("the server is draining")
        before = len(self._outside.queue(visitor))
        if before >= self._max_waiting:
            raise Overloaded(f"{before} requests wait already", retry_after=self._retry_after())
        self._shares.take(visitor.client, visitor.cost, self._retry_after)
        waiter = Waiter(visitor, asyncio.get_running_loop().create_future())
        self._outside.add(waiter)
        behind = self._waking > 0
        self._let_in()
        if not waiter.let_in.done():
            self._watch(waiter)
        try:
            if behind and waiter.let_in.done():
                await asyncio.sleep(0)  # those who were let in before go first
            late = await waiter.let_in
        except BaseException as error:
            if self._outside.remove(waiter):
                self._let_in()
            elif isinstance(error, asyncio.CancelledError) and waiter.entered:
                self._leave(self._rows(waiter), answered=False)  # it was let in and left in the same moment
            self._shares.add(visitor.client, -visitor.cost)
            raise
        finally:
            self._waking -= waiter.entered
            if waiter.alarm:
                waiter.alarm.cancel()
        grew, left = partial(self._grow, visitor.client), partial(self._left, visitor.client)
        return Place(self._rows(waiter), visitor.cost, late, grew, left)

    def close(self) -> None:
        """Nobody enters any more; those outside are told so."""
        self._closed = True
        while (waiter := self._outside.first) is not None:
            self._outside.remove(waiter)
            if not waiter.let_in.done():
                waiter.let_in.set_exception(NotReady("the server is draining"))

    async def empty(self) -> None:
        """Returns when the last request inside has left."""
        await self._emptied.wait()

    def _let_in(self) -> None:
        while (waiter := self._outside.first) is not None:
            if self._requests and self._inside + waiter.rows > self._room:
                return
            self._outside.remove(waiter)
            if not waiter.let_in.done():  # else cancelled, and about to wake
                self._admit(waiter, late=False)

    def _admit(self, waiter: Waiter, late: bool) -> None:
        if not self._requests:
            self._since = self._clock()
        self._inside += 1 if late else waiter.rows
        self._requests += 1
        self._emptied.clear()
        self._waking += 1
        waiter.let_in.set_result(late)

    def _watch(self, waiter: Waiter) -> None:
        """Lets it in when it cannot wait any longer; a newer frame in its place may have more time."""
        if waiter.let_in.done():
            return
        latest, now = waiter.visitor.latest(), self._clock()
        if latest <= now:
            self._outside.remove(waiter)
            self._admit(waiter, late=True)
            self._let_in()
        elif math.isfinite(latest):
            waiter.alarm = asyncio.get_running_loop().call_later(latest - now, self._watch, waiter)

    def _rows(self, waiter: Waiter) -> int:
        return 1 if waiter.let_in.result() else waiter.rows

    def _retry_after(self) -> float:
        return min(60.0, max(0.1, self.load or 1.0))

    def _grow(self, client: str, rows: int, cost: int) -> None:
        self._inside += rows
        if cost:
            self._shares.add(client, cost)
        self._let_in()

    def _left(self, client: str, rows: int, cost: int, answered: bool) -> None:
        self._shares.add(client, -cost)
        self._leave(rows, answered)

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
