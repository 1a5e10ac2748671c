"""One computation for all callers that need the same result at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Callers that ask for a key while its value is being made wait for the same value.

    A caller that leaves does not cancel the making, even when it was the last. A failure reaches all that wait, and the
    next caller makes the value again.
    """

    def __init__(self) -> None:
        self._making: dict[K, asyncio.Future[T]] = {}

    def __len__(self) -> int:
        return len(self._making)

    async def get(self, key: K, make: Callable[[], asyncio.Future[T]], on_made: Callable[[T], None]) -> T:
        """The value of `make()`, shared with those that wait for it; `on_made` is called once, before they go on."""
        if key not in self._making:
            making = self._making[key] = make()

            def on_done(done: asyncio.Future[T]) -> None:
                del self._making[key]
                if not done.cancelled() and done.exception() is None:
                    on_made(done.result())

            making.add_done_callback(on_done)
        return await asyncio.shield(self._making[key])
