"""Which requests run: a semaphore of rows, first come first served, single calls before streams.

A waiting request has cost nothing yet: no decode, no turn. So a newer frame may still replace a waiting one, and the
running rows bound the age of an answer, however many cameras there are.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...core.errors import NotReady, Overloaded
from ...core.moving_average import MovingAverage
from .claims import Claim, ClientQuota, Permit


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits."""

    claim: Claim
    queue: deque[Waiter]
    admitted: asyncio.Future[None]
    permit: Permit | None = None  # once it is admitted
    timer: asyncio.TimerHandle | None = None


class AdmissionController:
    """Lets `capacity` rows run (two batches' worth); `max_waiting` single calls and as many frames of streams wait.

    `quota` bounds the work of the running and the waiting requests together. A request that can wait no longer is
    admitted beyond the capacity, as a single row. `clock` gives monotonic seconds. Used on the event loop only.
    """

    def __init__(
        self,
        capacity: int,
        max_waiting: int = 256,
        clock: Callable[[], float] = time.monotonic,
        quota: ClientQuota | None = None,
    ) -> None:
        self._capacity, self._max_waiting = capacity, max_waiting
        self._clock, self._quota = clock, quota or ClientQuota()
        self._calls, self._frames = deque[Waiter](), deque[Waiter]()
        self.running_requests = self.running_rows = self.queued_rows = 0
        self._waking = 0  # admitted, but their tasks have not run yet
        self._rate = MovingAverage[float](10.0)  # rows per second of work: idle time does not count
        self._since = clock()  # of the last answer, or of the end of idleness
        self._closed, self._idle = False, asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._calls) + len(self._frames)

    @property
    def depths(self) -> dict[str, int]:
        """Requests that wait: single calls, and frames of streams."""
        return {"calls": len(self._calls), "streams": len(self._frames)}

    @property
    def limits(self) -> dict[str, int]:
        """How many of each kind may wait."""
        return dict.fromkeys(self.depths, self._max_waiting)

    @property
    def load(self) -> float:
        """Seconds that the running and waiting rows are expected to take; 0 before the first measurement."""
        return (self.running_rows + self.queued_rows) / self._rate.value if self._rate.value else 0.0

    @property
    def cost(self) -> int:
        """Rows times passes of the running and waiting requests."""
        return self._quota.total

    async def acquire(self, claim: Claim) -> Permit:
        """Waits for capacity. Use the permit at once, in a `with` block. A request above the capacity runs alone.

        Raises `Overloaded` when too many requests wait or the client's quota is used up, `NotReady` after `close`.
        """
        if self._closed:
            raise NotReady("the server is draining")
        queue = self._frames if claim.streamed else self._calls
        if len(queue) >= self._max_waiting:
            raise Overloaded(f"{len(queue)} requests wait already", retry_after=self._retry_after())
        self._quota.take(claim.client, claim.cost, self._retry_after)
        if self._calls or self._frames or self._waking or not self._fits(claim.rows):
            return await self._wait(Waiter(claim, queue, asyncio.get_running_loop().create_future()))
        return self._start(claim)

    def close(self) -> None:
        """Refuses new requests and fails the waiting ones, both with `NotReady`; running ones go on."""
        self._closed = True
        for waiter in (*self._calls, *self._frames):
            self._leave_queue(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_exception(NotReady("the server is draining"))

    async def wait_idle(self) -> None:
        """Returns when no request runs."""
        await self._idle.wait()

    async def _wait(self, waiter: Waiter) -> Permit:
        """Waits in its queue. Requests that were admitted before go first, even if their tasks have not run yet."""
        waiter.queue.append(waiter)
        self.queued_rows += waiter.claim.rows
        behind = self._waking > 0
        self._admit_waiting()
        self._admit_late(waiter)
        try:
            if behind and waiter.permit:
                await asyncio.sleep(0)
            await waiter.admitted
            assert waiter.permit
            return waiter.permit
        except BaseException:
            if waiter.permit:  # it was admitted and cancelled in the same moment
                self._release(waiter.permit, answered=False)
            else:
                self._leave_queue(waiter)
                self._quota.add(waiter.claim.client, -waiter.claim.cost)
                self._admit_waiting()
            raise
        finally:
            self._waking -= waiter.permit is not None
            if waiter.timer:
                waiter.timer.cancel()

    def _admit_waiting(self) -> None:
        while (queue := self._calls or self._frames) and self._fits(queue[0].claim.rows):
            self._admit(queue[0])

    def _admit(self, waiter: Waiter, late: bool = False) -> None:
        self._leave_queue(waiter)
        if not waiter.admitted.done():  # else it was cancelled, and its task will see that soon
            waiter.permit = self._start(waiter.claim, late)
            waiter.admitted.set_result(None)
            self._waking += 1

    def _admit_late(self, waiter: Waiter) -> None:
        """Admits a request that can wait no longer, else checks again at its `admit_by`, which a newer frame moves."""
        if waiter.admitted.done():
            return
        admit_by, now = waiter.claim.admit_by(), self._clock()
        if admit_by <= now:
            self._admit(waiter, late=True)
            self._admit_waiting()
        elif math.isfinite(admit_by):
            waiter.timer = asyncio.get_running_loop().call_later(admit_by - now, self._admit_late, waiter)

    def _leave_queue(self, waiter: Waiter) -> None:
        if waiter in waiter.queue:
            waiter.queue.remove(waiter)
            self.queued_rows -= waiter.claim.rows

    def _fits(self, rows: int) -> bool:
        return not self.running_requests or self.running_rows + rows <= self._capacity

    def _start(self, claim: Claim, late: bool = False) -> Permit:
        if not self.running_requests:
            self._since = self._clock()
            self._idle.clear()
        rows = 1 if late else claim.rows
        self.running_rows += rows
        self.running_requests += 1
        return Permit(claim.client, rows, claim.cost, late, self._resize, self._release)

    def _resize(self, permit: Permit, rows: int, cost: int) -> None:
        self._quota.add(permit.client, cost - permit.cost)
        self.running_rows += rows - permit.rows
        permit.rows, permit.cost = rows, cost
        self._admit_waiting()

    def _release(self, permit: Permit, answered: bool) -> None:
        self._quota.add(permit.client, -permit.cost)
        self.running_rows -= permit.rows
        self.running_requests -= 1
        if answered:
            now = self._clock()
            self._rate.add(permit.rows, over=now - self._since)
            self._since = now
        if not self.running_requests:
            self._idle.set()
        self._admit_waiting()

    def _retry_after(self) -> float:
        return min(60.0, max(0.1, self.load or 1.0))
