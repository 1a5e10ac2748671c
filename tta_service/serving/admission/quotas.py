"""How much work has been taken on, in all and for each client: rows of the tower times passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...core.errors import Overloaded


class ClientQuota:
    """At most `most` in all, and at most `share` of that for one client. 0: no bound.

    One request alone may be larger: nothing would ever take it on otherwise.
    """

    def __init__(self, most: int = 0, share: float = 1.0) -> None:
        self._most, self._per_client = most, share * most
        self.total = 0
        self._clients: Counter[str] = Counter()

    def take(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        """`Overloaded` when it is too much."""
        mine = self._clients[client]
        if self._most and self.total and self.total + cost > self._most:
            message = f"{self.total} rows of work wait already, and this is {cost} more; there is room for {self._most}"
            raise Overloaded(message, retry_after=retry_after())
        if self._most and mine and mine + cost > self._per_client:
            message = (
                f"{mine} rows of your work wait already, and this is {cost} more; your share is {self._per_client:.0f}"
            )
            raise Overloaded(message, retry_after=retry_after())
        self.add(client, cost)

    def add(self, client: str, cost: int) -> None:
        """It turned out to be more, or less."""
        self.total += cost
        self._clients[client] += cost
        if not self._clients[client]:
            del self._clients[client]
