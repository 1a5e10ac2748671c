"""The requests that wait for admission: clients in fair order, and within a client single calls before streams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..fair_shares import FairShares
from .claims import Claim, Permit, Place, RunningWork


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits."""

    claim: Claim
    admitted: asyncio.Future[None]
    permit: Permit | None = None  # once it is admitted
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class ClientQueues:
    """What waits of one client, in order of arrival."""

    calls: deque[Waiter] = field(default_factory=deque[Waiter])
    frames: deque[Waiter] = field(default_factory=deque[Waiter])

    def of(self, streamed: bool) -> deque[Waiter]:
        """Its frames of streams, or its calls."""
        return self.frames if streamed else self.calls

    @property
    def head(self) -> Waiter:
        """What of the client goes next."""
        return (self.calls or self.frames)[0]

    def find(self, rows: int) -> Waiter | None:
        """The first one with at most so many rows."""
        return next((one for queue in (self.calls, self.frames) for one in queue if one.claim.rows <= rows), None)


class WaitQueue:
    """The waiting requests of all clients. `few` rows make a small request."""

    def __init__(self, shares: FairShares, few: int) -> None:
        self.shares, self._few = shares, few
        self._clients: dict[str, ClientQueues] = {}
        self.calls = self.frames = self.rows = self.small = 0

    def __iter__(self) -> Iterator[Waiter]:
        for client in list(self._clients.values()):
            yield from (*client.calls, *client.frames)

    def __len__(self) -> int:
        return self.calls + self.frames

    def add(self, waiter: Waiter) -> None:
        """It waits from now on."""
        claim = waiter.claim
        self._clients.setdefault(claim.client, ClientQueues()).of(claim.streamed).append(waiter)
        self._count(claim, 1)

    def remove(self, waiter: Waiter) -> None:
        """It waits no longer, if it did."""
        claim = waiter.claim
        client = self._clients.get(claim.client)
        if client is None or waiter not in (queue := client.of(claim.streamed)):
            return
        queue.remove(waiter)
        self._count(claim, -1)
        if not (client.calls or client.frames):
            del self._clients[claim.client]

    def in_order(self) -> list[ClientQueues]:
        """The clients that wait, the one that is served next first."""
        if len(self._clients) == 1:
            return list(self._clients.values())
        return [self._clients[client] for client in sorted(self._clients, key=self.shares.start)]

    def find_next(self, running: RunningWork) -> tuple[Waiter, Place] | None:
        """The next request that has a place beside those that run."""
        clients = self.in_order()
        if running.fits(clients[0].head.claim.rows):
            return clients[0].head, ""
        for head in (client.head for client in clients):
            if running.has_room(head.claim, "first"):
                return head, "first"
        for client in clients if self.small else ():
            if (small := client.find(self._few)) and running.has_room(small.claim, "seat"):
                return small, "seat"
        return None

    def newest_of_most(self, claim: Claim) -> Waiter | None:
        """Who must give its place to that claim: the newest of the client with most of the kind; None: the claim."""
        longest = max((client.of(claim.streamed) for client in self._clients.values()), key=len)
        own = self._clients.get(claim.client, ClientQueues()).of(claim.streamed)
        return longest[-1] if len(longest) > len(own) + 1 else None

    def _count(self, claim: Claim, sign: int) -> None:
        self.rows += sign * claim.rows
        self.small += sign * (claim.rows <= self._few)
        if claim.streamed:
            self.frames += sign
        else:
            self.calls += sign
