"""How a stream for asyncio ended, told apart from what grpcio says of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import TTAClientError, from_ending


class CallStatus:
    """What a call was told to have ended with, each time that grpcio changed its mind.

    A write that loses the race against the end of the call puts a status of grpcio's own ("Internal error from Core")
    before the service's, or over it. So every one is noted at once; the service's counts.
    """

    def __init__(self, running: Any) -> None:
        self._running, self._statuses = running, list[tuple[Any, Any, Any]]()
        running.add_done_callback(self._note)

    async def error(self) -> TTAClientError:
        """The service's own word, for which it waits one second at most after grpcio's."""
        for _ in range(100):
            code, details, metadata = await self._now()
            self._statuses.append((code, details, metadata))
            for status in self._statuses:
                if status[1] != "Internal error from Core":
                    return from_ending(*status)
            await asyncio.sleep(0.01)
        return from_ending(*self._statuses[-1])

    async def _now(self) -> tuple[Any, Any, Any]:
        running = self._running
        return await running.code(), await running.details(), await running.trailing_metadata()

    def _note(self, _: Any) -> None:
        noting = self._now()
        try:
            noting.send(None)  # the status is there: nothing has to be waited for
        except StopIteration as done:
            self._statuses.append(done.value)
        else:
            noting.close()
