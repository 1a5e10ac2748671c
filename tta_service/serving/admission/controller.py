"""Which requests run: a semaphore of rows, first come first served, single calls before streams.

A waiting request has cost nothing yet: no decode, no turn. So a newer frame may still replace a waiting one, and the
running rows bound the age of an answer, however many cameras there are.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial

from ...core.errors import NotReady, Overloaded
from .quotas import ClientQuota
from .throughput import Throughput
from .wait_queue import Claim, Permit, Waiter, WaitQueue


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
        self._capacity, self._max_waiting, self._clock = capacity, max_waiting, clock
        self._quota, self._queue = quota or ClientQuota(), WaitQueue()
        self._running_rows = self._running_requests = 0
        self._waking = 0  # admitted, but their tasks have not run yet
        self._throughput, self._since = Throughput(), clock()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(self.depths.values())

    @property
    def depths(self) -> dict[str, int]:
        """Requests that wait: single calls, and frames of streams."""
        return {"calls": len(self._queue.calls), "streams": len(self._queue.frames)}

    @property
    def limits(self) -> dict[str, int]:
        """How many of each kind may wait."""
        return dict.fromkeys(self.depths, self._max_waiting)

    @property
    def running_requests(self) -> int:
        """Requests that run."""
        return self._running_requests

    @property
    def running_rows(self) -> int:
        """Rows of the running requests."""
        return self._running_rows

    @property
    def queued_rows(self) -> int:
        """Rows of the waiting requests."""
        return self._queue.rows

    @property
    def load(self) -> float:
        """Seconds that the running and waiting rows are expected to take; 0 before the first measurement."""
        return self._throughput.seconds_for(self._running_rows + self._queue.rows, unknown=0.0)

    @property
    def cost(self) -> int:
        """Rows times passes of the running and waiting requests."""
        return self._quota.total

    async def acquire(self, claim: Claim) -> Permit:
        """Waits for capacity. Use the permit at once, in a `with` block. A request above the capacity runs alone.

        Raises `Overloaded` when too many requests wait already or the client's quota is used up, `NotReady` after
        `close`.
        """
        if self._closed:
            raise NotReady("the server is draining")
        before = len(self._queue.queue_for(claim))
        if before >= self._max_waiting:
            raise Overloaded(f"{before} requests wait already", retry_after=self._retry_after())
        self._quota.take(claim.client, claim.cost, self._retry_after)
        waiter = Waiter(claim, asyncio.get_running_loop().create_future())
        self._queue.add(waiter)
        behind = self._waking > 0
        self._admit_queued()
        if not waiter.admitted.done():
            self._admit_late(waiter)
        try:
            if behind and waiter.admitted.done():
                await asyncio.sleep(0)  # requests that were admitted before go first
            late = await waiter.admitted
        except BaseException as error:
            if self._queue.remove(waiter):
                self._admit_queued()
            elif isinstance(error, asyncio.CancelledError) and waiter.is_admitted:
                self._free(self._rows(waiter), answered=False)  # it was admitted and cancelled in the same moment
            self._quota.add(claim.client, -claim.cost)
            raise
        finally:
            self._waking -= waiter.is_admitted
            if waiter.timer:
                waiter.timer.cancel()
        on_resize, on_release = partial(self._resize, claim.client), partial(self._release, claim.client)
        return Permit(self._rows(waiter), claim.cost, late, on_resize, on_release)

    def close(self) -> None:
        """Refuses new requests and fails the waiting ones, both with `NotReady`; running ones go on."""
        self._closed = True
        while (waiter := self._queue.first) is not None:
            self._queue.remove(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_exception(NotReady("the server is draining"))

    async def wait_idle(self) -> None:
        """Returns when no request runs."""
        await self._idle.wait()

    def _admit_queued(self) -> None:
        while (waiter := self._queue.first) is not None:
            if self._running_requests and self._running_rows + waiter.rows > self._capacity:
                return
            self._queue.remove(waiter)
            if not waiter.admitted.done():  # else it was cancelled, and removes itself soon
                self._admit(waiter, late=False)

    def _admit(self, waiter: Waiter, late: bool) -> None:
        if not self._running_requests:
            self._since = self._clock()
        self._running_rows += 1 if late else waiter.rows
        self._running_requests += 1
        self._idle.clear()
        self._waking += 1
        waiter.admitted.set_result(late)

    def _admit_late(self, waiter: Waiter) -> None:
        """Admits a request that can wait no longer, else checks again at its `admit_by`, which a newer frame moves."""
        if waiter.admitted.done():
            return
        admit_by, now = waiter.claim.admit_by(), self._clock()
        if admit_by <= now:
            self._queue.remove(waiter)
            self._admit(waiter, late=True)
            self._admit_queued()
        elif math.isfinite(admit_by):
            waiter.timer = asyncio.get_running_loop().call_later(admit_by - now, self._admit_late, waiter)

    def _rows(self, waiter: Waiter) -> int:
        return 1 if waiter.admitted.result() else waiter.rows

    def _retry_after(self) -> float:
        return min(60.0, max(0.1, self.load or 1.0))

    def _resize(self, client: str, rows: int, cost: int) -> None:
        self._running_rows += rows
        if cost:
            self._quota.add(client, cost)
        self._admit_queued()

    def _release(self, client: str, rows: int, cost: int, answered: bool) -> None:
        self._quota.add(client, -cost)
        self._free(rows, answered)

    def _free(self, rows: int, answered: bool) -> None:
        self._running_rows -= rows
        self._running_requests -= 1
        if answered:
            now = self._clock()
            self._throughput.add(rows, now - self._since)
            self._since = now
        if not self._running_requests:
            self._idle.set()
        self._admit_queued()
