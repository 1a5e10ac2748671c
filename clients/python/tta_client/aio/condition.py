"""A condition for tasks of one event loop."""

from __future__ import annotations

import asyncio
import math


class Condition:
    """Wakes all waiting tasks; `threading.Condition` for one event loop, without a lock."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify_all(self) -> None:
        """Wakes every task that waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float = math.inf) -> None:
        """Returns at the next notification, or after so many seconds."""
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._event.wait()
        except TimeoutError:
            pass
