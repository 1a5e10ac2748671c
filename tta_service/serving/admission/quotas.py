"""How much work the service accepts, in all and from each client: rows of the image tower times passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...core.errors import Overloaded


class ClientQuota:
    """Bounds accepted work to `most` in all (0: no bound), and to the fraction `share` of that for one client.

    A request above a bound is accepted when it is the only one there; otherwise it could never run.
    """

    def __init__(self, most: int = 0, share: float = 1.0) -> None:
        self._most, self._per_client = most, share * most
        self.total = 0
        self._clients: Counter[str] = Counter()

    def take(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        """Counts `cost` for the client. Raises `Overloaded` when that exceeds a bound; `retry_after` gives seconds."""
        own = self._clients[client]
        if self._most and self.total and self.total + cost > self._most:
            message = f"{self.total} rows of work wait already, and this is {cost} more; there is room for {self._most}"
            raise Overloaded(message, retry_after=retry_after())
        if self._most and own and own + cost > self._per_client:
            message = (
                f"{own} rows of your work wait already, and this is {cost} more; your share is {self._per_client:.0f}"
            )
            raise Overloaded(message, retry_after=retry_after())
        self.add(client, cost)

    def add(self, client: str, cost: int) -> None:
        """Changes the client's work by `cost`, which may be negative. Never refuses."""
        self.total += cost
        self._clients[client] += cost
        if not self._clients[client]:
            del self._clients[client]
