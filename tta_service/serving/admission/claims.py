"""What requests ask of admission and what they get: claims and permits; how much work each client may claim, and which
of it runs.

Work is counted in rows of the image tower; its cost is rows times passes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from ...core.errors import Overloaded

Place = Literal["", "first", "seat", "late"]  # within the capacity; beyond it: `AdmissionController`
KEPT_FREE = 16  # one part in so many is for clients that have no work here


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks of admission."""

    rows: int
    streamed: bool = False
    cost: int = 0
    client: str = ""
    admit_by: Callable[[], float] = lambda: math.inf  # monotonic seconds; then it runs beyond the capacity, as one row


@dataclass(slots=True, eq=False)
class Permit:
    """The right of one request to run. Its rows and its cost are given back at the end of the `with` block."""

    client: str
    rows: int
    cost: int
    place: Place  # where it was admitted
    on_resize: Callable[[Permit, int, int], None]
    on_release: Callable[[Permit, bool], None]

    @property
    def late(self) -> bool:
        """It was admitted because it could wait no longer."""
        return self.place == "late"

    def resize(self, rows: int, cost: int | None = None) -> None:
        """Changes its rows, and its cost (None: as before). Never waits: later requests do."""
        cost = self.cost if cost is None else cost
        if (rows, cost) != (self.rows, self.cost):
            self.on_resize(self, rows, cost)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.on_release(self, kind is None)


class ClientQuota:
    """Bounds accepted work to `most` in all (0: no bound), and to the fraction `share` of that for one client.

    A client has at most so many `requests` (0: no bound).

    A request above a bound is accepted when it is the only one there; otherwise it could never run. The last
    sixteenth is kept for clients that have no work here.
    """

    def __init__(self, most: int = 0, share: float = 1.0, requests: int = 0) -> None:
        self._most, self._per_client, self._most_requests = most, share * most, requests
        self.total = 0
        self._clients, self._requests, self._held = Counter[str](), Counter[str](), Counter[str]()

    def take(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        """Counts a request of that `cost` for the client.

        Raises `Overloaded` when that exceeds a bound; `retry_after` gives seconds.
        """
        if self._most_requests and self._requests[client] >= self._most_requests:
            error = Overloaded(f"{self._most_requests} requests of yours run or wait already", "", retry_after())
            raise error.of_quota("limits.client_requests")
        if self.total:
            self._check(client, cost, retry_after)
        self.add(client, cost)
        self._requests[client] += 1

    @contextmanager
    def hold(self, client: str, cost: int, retry_after: Callable[[], float]) -> Generator[None]:
        """Counts `cost` of work that a request waits for until the block ends.

        Raises as `take`, unless it is the only such work of the client: otherwise its request could never run.
        """
        if self._held[client]:
            self._check(client, cost, retry_after)
        self.add(client, cost)
        self._held[client] += 1
        try:
            yield
        finally:
            self.add(client, -cost)
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]

    def _check(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        own, message, quota = self._clients[client], "", ""
        room = self._most - (self._most // KEPT_FREE if own else 0)
        if self._most and self.total and self.total + cost > room:
            message = f"{self.total} rows of work wait already, and this is {cost} more; there is room for {room}"
        elif self._most and own and own + cost > self._per_client:
            share = f"{self._per_client:.0f}"
            message = f"{own} rows of your work wait already, and this is {cost} more; your share is {share}"
            quota = "batch.client_share"
        if message:
            error = Overloaded(message, retry_after=retry_after())
            raise error.of_quota(quota) if quota else error

    def give_back(self, client: str, cost: int) -> None:
        """A request of the client, of that cost, has ended."""
        self.add(client, -cost)
        self._requests[client] -= 1
        if not self._requests[client]:
            del self._requests[client]

    def add(self, client: str, cost: int) -> None:
        """Changes the client's work by `cost`, which may be negative. Never refuses."""
        self.total += cost
        self._clients[client] += cost
        if not self._clients[client]:
            del self._clients[client]


class RunningWork:
    """At most `capacity` rows run, and beyond them `first` rows of clients' first requests, and `seats` of small ones.

    Of each kind that may run at all one may run whatever its size. Of the first requests none counts for more than half
    of their rows, so that a large one leaves a place to the clients with small ones.
    """

    def __init__(self, capacity: int, seats: int, first: int) -> None:
        self._capacity, self._seats, self._first = capacity, seats, first
        self._clients, self._beyond = Counter[str](), Counter[Place]()  # requests by client; rows by place
        self.requests = self.rows = 0

    def fits(self, rows: int) -> bool:
        """Whether so many rows fit into the capacity."""
        return not self.requests or self.rows + rows <= self._capacity

    def has_room(self, claim: Claim, place: Place) -> bool:
        """Whether it fits beyond the capacity: as the "first" request of its client, or in a "seat"."""
        if place == "first" and self._clients[claim.client]:
            return False
        most, used = self._first if place == "first" else self._seats, self._beyond[place]
        return most > 0 and (not used or used + self._count(place, claim.rows) <= most)

    def add(self, permit: Permit) -> None:
        """It runs from now on."""
        self.requests += 1
        self.rows += permit.rows
        self._clients[permit.client] += 1
        if permit.place:
            self._beyond[permit.place] += self._count(permit.place, permit.rows)

    def resize(self, permit: Permit, rows: int) -> None:
        """It has so many rows from now on."""
        self.rows += rows - permit.rows
        if place := permit.place:
            self._beyond[place] += self._count(place, rows) - self._count(place, permit.rows)
        permit.rows = rows

    def remove(self, permit: Permit) -> None:
        """It has ended."""
        self.rows -= permit.rows
        if permit.place:
            self._beyond[permit.place] -= self._count(permit.place, permit.rows)
        self.requests -= 1
        self._clients[permit.client] -= 1
        if not self._clients[permit.client]:
            del self._clients[permit.client]

    def _count(self, place: Place, rows: int) -> int:
        return min(rows, max(1, self._first // 2)) if place == "first" else rows
