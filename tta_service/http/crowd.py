"""The open connections by address, and which of them gives way when there are too many."""

from __future__ import annotations

import asyncio
from collections import Counter
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
        self._most = most
        # Addresses are kept here: a connection with TLS that was lost does not say its own any more.
        self._open = dict[asyncio.Transport, tuple[str, Callable[[], bool]]]()

    def join(self, transport: asyncio.Transport, is_idle: Callable[[], bool]) -> Place:
        """The connection is open from now on: it is served, gets a refusal, or should be closed at once.

        `is_idle()` says whether it waits for a request.
        """
        own = _address(transport)
        self._open[transport] = own, is_idle
        if len(self._open) <= self._most:
            return "open"
        sizes = Counter(address for address, _ in self._open.values())
        largest, size = sizes.most_common(1)[0]
        for one, (address, waits) in self._open.items() if size > sizes[own] else ():
            if address == largest and waits():
                self.leave(one)
                one.abort()
                return "open"
        return "refused" if len(self._open) <= self._most + SPARE else "none"

    def leave(self, transport: asyncio.Transport) -> None:
        """It is open no longer, if it was."""
        self._open.pop(transport, None)


def _address(transport: asyncio.Transport) -> str:
    peer: tuple[str, int] | str | None = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else ""
