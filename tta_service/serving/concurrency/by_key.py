"""Work by key: in order, or once for all that need its result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
log = logging.getLogger(__name__)


class KeyedQueue:
    """Runs the work of one key in the order of submission, whether or not its callers still wait.

    Every failure is logged, because the caller may be gone.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Work for that key is in progress."""
        return key in self._last

    def last(self, key: Hashable) -> asyncio.Task[None]:
        """The task that was submitted last for that key."""
        return self._last[key]

    def submit(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Runs `work()` after all that was submitted for the key before. Await the task in a shield."""
        before = self._last.get(key)

        async def run_after() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work()

        def on_done(done: asyncio.Task[None]) -> None:
            if self._last.get(key) is done:
                del self._last[key]
            if not done.cancelled() and (error := done.exception()):
                log.warning("%s: %s", key, error)

        task = self._last[key] = asyncio.create_task(run_after())
        task.add_done_callback(on_done)
        return task

    async def join(self) -> None:
        """Returns when all that was submitted before is done."""
        if self._last:
            await asyncio.wait(self._last.values())


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
