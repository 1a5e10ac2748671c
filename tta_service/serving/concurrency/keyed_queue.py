"""Work that must not overtake itself: one thing after the other for each key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

log = logging.getLogger(__name__)


class KeyedQueue:
    """What is asked for under one key is done in the order of asking, whoever still waits for it.

    What nobody waits for and fails is said in the log.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Something is under way there."""
        return key in self._last

    def last(self, key: Hashable) -> asyncio.Task[None]:
        """What is done last under that key."""
        return self._last[key]

    def submit(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """`work()` after all that was asked for before; await it in a shield."""
        before = self._last.get(key)

        async def after() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work()

        def on_done(done: asyncio.Task[None]) -> None:
            if self._last.get(key) is done:
                del self._last[key]
            if not done.cancelled() and (error := done.exception()):
                log.warning("%s: %s", key, error)

        task = self._last[key] = asyncio.create_task(after())
        task.add_done_callback(on_done)
        return task

    async def join(self) -> None:
        """Returns when all that was asked for until now is done."""
        if self._last:
            await asyncio.wait(self._last.values())
