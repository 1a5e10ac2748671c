"""Fair shares of one resource: start-time fair queuing (Goyal, Vin and Cheng, 1996, doi:10.1145/248157.248171)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PRUNE_ABOVE = 1024  # clients: ends of work in the past are dropped when there are more, and then at twice as many


class FairShares:
    """Who is served next: the client whose work so far, divided by its weight, begins first in virtual time.

    Virtual time is where the work began that was served last. A client that was away begins there, so nobody saves up
    shares, and nobody pays for what it had while it was alone. `weights` are 1 where none is given.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = weights or {}
        self._now, self._ends, self._prune_above = 0.0, dict[str, float](), PRUNE_ABOVE

    def start(self, client: str) -> float:
        """Where the client's next work begins, in virtual time."""
        return max(self._now, self._ends.get(client, 0.0))

    def span(self, client: str, cost: float) -> float:
        """How much virtual time the work takes."""
        return cost / self._weights.get(client, 1.0)

    def first(self, clients: Iterable[str]) -> str:
        """The client that is served next; of equals the one named first."""
        return min(clients, key=self.start)

    def serve(self, client: str, cost: float) -> None:
        """The client is served next: virtual time moves on to its start."""
        self._now = start = max(self._now, self._ends.get(client, 0.0))
        self._ends[client] = start + cost / self._weights.get(client, 1.0)
        if len(self._ends) > self._prune_above:
            self._ends = {each: end for each, end in self._ends.items() if end > start}
            self._prune_above = max(PRUNE_ABOVE, 2 * len(self._ends))

    def charge(self, client: str, cost: float) -> None:
        """The client is served along with another one."""
        self._ends[client] = self.start(client) + self.span(client, cost)
