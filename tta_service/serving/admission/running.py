"""The requests that run, and which of the waiting ones has a place beside them."""

from __future__ import annotations

from collections import Counter

from .claims import Permit, Place
from .waiting import Waiter, WaitQueue


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

    def find_next(self, queue: WaitQueue) -> tuple[Waiter, Place] | None:
        """The next request that has a place, of those that wait."""
        clients = queue.in_order()
        if self.fits(clients[0].head.claim.rows):
            return clients[0].head, ""
        for head in (client.head for client in clients):
            if not self._clients[head.claim.client] and self._has_room("first", self._first, head.claim.rows):
                return head, "first"
        for client in clients if queue.small else ():
            small = client.find(self._seats)
            if small and self._has_room("seat", self._seats, small.claim.rows):
                return small, "seat"
        return None

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

    def _has_room(self, place: Place, most: int, rows: int) -> bool:
        return most > 0 and (not self._beyond[place] or self._beyond[place] + self._count(place, rows) <= most)

    def _count(self, place: Place, rows: int) -> int:
        return min(rows, max(1, self._first // 2)) if place == "first" else rows
