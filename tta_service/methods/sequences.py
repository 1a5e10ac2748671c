"""The frames of a sequence, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..core.errors import DeadlineTooShort, Overloaded


@dataclass(slots=True)
class _Line:
    """The frames of one sequence: one has the lock, the others wait for it in their order."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    frames: int = 0


class SequenceOrder:
    """Lets one frame of a sequence through at a time, in the order of arrival, over all calls and streams.

    At most `most` frames of one sequence may wait.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lines = most, dict[tuple[str, str], _Line]()  # by owner and id, while there are frames

    @asynccontextmanager
    async def turn(self, owner: str, id: str, deadline: float | None) -> AsyncGenerator[None]:
        """The turn of a frame. Raises `DeadlineTooShort` when `deadline` passes before, `Overloaded`."""
        line = self._lines.setdefault((owner, id), _Line())
        if line.frames > self._most:
            raise Overloaded(f"{self._most} frames of this sequence wait already", "parameters.sequence_id")
        line.frames += 1
        try:
            try:
                async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                    await line.lock.acquire()
            except TimeoutError:
                raise DeadlineTooShort("the deadline passed before the earlier frames were answered") from None
            try:
                yield
            finally:
                line.lock.release()
        finally:
            line.frames -= 1
            if not line.frames:
                del self._lines[owner, id]
