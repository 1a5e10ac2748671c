"""One making for all who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Whoever asks while a thing is being made waits for the same making.

    Who leaves does not cancel the others; when all have left it is made to the end. A failure reaches those who wait,
    and the next one to ask makes it afresh.
    """

    def __init__(self) -> None:
        self._making: dict[K, asyncio.Future[T]] = {}

    def __len__(self) -> int:
        return len(self._making)

    async def get(self, key: K, make: Callable[[], asyncio.Future[T]], on_made: Callable[[T], None]) -> T:
        """What `make` gives, called unless it is under way; `on_made` is called once, before anybody hears of it."""
        if key not in self._making:
            making = self._making[key] = make()

            def on_done(done: asyncio.Future[T]) -> None:
                del self._making[key]
                if not done.cancelled() and done.exception() is None:
                    on_made(done.result())

            making.add_done_callback(on_done)
        return await asyncio.shield(self._making[key])
