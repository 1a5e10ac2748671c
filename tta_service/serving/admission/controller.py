"""Which requests run: a semaphore of rows, in fair shares by client, and within a client first come first served.

A waiting request has cost nothing yet: no decode, no turn. So a newer frame may still replace a waiting one, and the
running rows bound the age of an answer, however many cameras there are.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping

from ...core.errors import NotReady, Overloaded
from ...core.moving_average import MovingAverage
from ..fair_shares import FairShares
from .claims import Claim, ClientQuota, Permit, Place, RunningWork
from .waiting import Waiter, WaitQueue


class AdmissionController:
    """Lets `capacity` rows run (two batches' worth); `max_waiting` single calls and as many frames of streams wait.

    Beyond the capacity there are `first` rows for clients that have none running (None: as many again), and `seats`,
    rows for small requests, so that they do not wait for large ones (`RunningWork`). A request that can wait no longer
    is admitted as a single row. `quota` bounds running and waiting work together. When no more may wait, the client
    with most waiting gives way. `weights`: `FairShares`. Used on the event loop only.
    """

    def __init__(
        self,
        capacity: int,
        max_waiting: int = 256,
        clock: Callable[[], float] = time.monotonic,
        quota: ClientQuota | None = None,
        seats: int = 0,
        first: int | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._max_waiting, self._clock, self._quota = max_waiting, clock, quota or ClientQuota()
        self._queue = WaitQueue(FairShares(weights), seats)
        self._running = RunningWork(capacity, seats, capacity if first is None else first)
        self._rate, self._waking = MovingAverage[float](10.0), 0  # rows a second of work; admitted, but not awake yet
        self._since = clock()  # of the last answer, or of the end of idleness
        self._closed, self.refused = False, 0  # requests for want of room or by a quota; any thread may read it

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def depths(self) -> dict[str, int]:
        """Requests that wait: single calls, and frames of streams."""
        return {"calls": self._queue.calls, "streams": self._queue.frames}

    @property
    def limits(self) -> dict[str, int]:
        """How many of each kind may wait."""
        return dict.fromkeys(self.depths, self._max_waiting)

    @property
    def running_requests(self) -> int:
        """Requests that run."""
        return self._running.requests

    @property
    def running_rows(self) -> int:
        """Their rows."""
        return self._running.rows

    @property
    def queued_rows(self) -> int:
        """Rows of the requests that wait."""
        return self._queue.rows

    @property
    def load(self) -> float:
        """Seconds that the running and waiting rows are expected to take; 0 before the first measurement."""
        return (self._running.rows + self._queue.rows) / self._rate.value if self._rate.value else 0.0

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
        try:
            if (self._queue.frames if claim.streamed else self._queue.calls) >= self._max_waiting:
                self._make_room(claim)
            self._quota.take(claim.client, claim.cost, self._retry_after)
        except Overloaded:
            self.refused += 1
            raise
        if self._queue.rows or self._waking or not self._running.fits(claim.rows):
            return await self._wait(Waiter(claim, asyncio.get_running_loop().create_future()))
        return self._start(claim)

    def close(self) -> None:
        """Refuses new requests and fails the waiting ones, both with `NotReady`; running ones go on."""
        self._closed = True
        for waiter in list(self._queue):
            self._send_away(waiter, NotReady("the server is draining"))

    async def _wait(self, waiter: Waiter) -> Permit:
        """Waits in its queue. Requests that were admitted before go first, even if their tasks have not run yet."""
        self._queue.add(waiter)
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
                self._queue.remove(waiter)
                self._quota.give_back(waiter.claim.client, waiter.claim.cost)
                self._admit_waiting()
            raise
        finally:
            self._waking -= waiter.permit is not None
            if waiter.timer:
                waiter.timer.cancel()

    def _admit_waiting(self) -> None:
        while self._queue.rows and (found := self._queue.find_next(self._running)):
            self._admit(*found)

    def _admit(self, waiter: Waiter, place: Place) -> None:
        self._queue.remove(waiter)
        if not waiter.admitted.done():  # else it was cancelled, and its task will see that soon
            waiter.permit = self._start(waiter.claim, place)
            waiter.admitted.set_result(None)
            self._waking += 1

    def _admit_late(self, waiter: Waiter) -> None:
        """Admits a request that can wait no longer, else checks again at its `admit_by`, which a newer frame moves."""
        if waiter.admitted.done():
            return
        admit_by, now = waiter.claim.admit_by(), self._clock()
        if admit_by <= now:
            self._admit(waiter, "late")
            self._admit_waiting()
        elif math.isfinite(admit_by):
            waiter.timer = asyncio.get_running_loop().call_later(admit_by - now, self._admit_late, waiter)

    def _make_room(self, claim: Claim) -> None:
        """Sends away the newest request of whom has most waiting. Raises `Overloaded` if that is this one."""
        refusal = Overloaded(f"{self._max_waiting} requests wait already", retry_after=self._retry_after())
        if not (newest := self._queue.newest_of_most(claim)):
            raise refusal
        self.refused += 1
        self._send_away(newest, refusal)

    def _send_away(self, waiter: Waiter, error: Exception) -> None:
        self._queue.remove(waiter)
        if not waiter.admitted.done():
            waiter.admitted.set_exception(error)

    def _start(self, claim: Claim, place: Place = "") -> Permit:
        if not self._running.requests:
            self._since = self._clock()
        rows = 1 if place == "late" else claim.rows
        self._queue.shares.serve(claim.client, claim.cost or rows)
        permit = Permit(claim.client, rows, claim.cost, place, self._resize, self._release)
        self._running.add(permit)
        return permit

    def _resize(self, permit: Permit, rows: int, cost: int) -> None:
        self._quota.add(permit.client, cost - permit.cost)
        permit.cost = cost
        self._running.resize(permit, rows)
        self._admit_waiting()

    def _release(self, permit: Permit, answered: bool) -> None:
        self._quota.give_back(permit.client, permit.cost)
        if answered:
            before, self._since = self._since, self._clock()
            self._rate.add(permit.rows, over=self._since - before)
        self._running.remove(permit)
        if self._queue.rows:
            self._admit_waiting()

    def _retry_after(self) -> float:
        return min(60.0, max(0.1, self.load or 1.0))
