"""The open connections by address, and which of them gives way when there are too many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Literal

Place = Literal["open", "refused", "none"]
SPARE = 64  # connections beyond the limit that wait for their request to be refused; others are closed at once


class Crowd:
    """At most `most` connections are served. So many that one address has do not keep others away.

    When all places are taken and another address has more of them than the newcomer's, one of its connections ends that
    waits for a request. Callers behind one proxy are one address.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._by_address: defaultdict[str, dict[asyncio.Transport, Callable[[], bool]]] = defaultdict(dict)

    def join(self, transport: asyncio.Transport, is_idle: Callable[[], bool]) -> Place:
        """The connection is open from now on: it is served, gets a refusal, or should be closed at once.

        `is_idle()` says whether it waits for a request.
        """
        own = self._by_address[_address(transport)]
        own[transport] = is_idle
        self._size += 1
        if self._size <= self._most:
            return "open"
        largest = max(self._by_address.values(), key=len)
        if len(largest) > len(own) and (idle := next((one for one, waits in largest.items() if waits()), None)):
            self.leave(idle)
            idle.abort()
            return "open"
        return "refused" if self._size <= self._most + SPARE else "none"

    def leave(self, transport: asyncio.Transport) -> None:
        """It is open no longer, if it was."""
        address = _address(transport)
        if self._by_address[address].pop(transport, None):
            self._size -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def _address(transport: asyncio.Transport) -> str:
    peer: tuple[str, int] | str | None = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else ""
