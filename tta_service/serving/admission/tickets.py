"""Who waits at the door, and who is inside."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody wants at the door."""

    rows: int
    streamed: bool = False
    cost: int = 0  # rows times passes
    client: str = ""
    admit_by: Callable[[], float] = lambda: math.inf  # monotonic seconds: then it enters beyond the room, as one row


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody outside."""

    claim: Claim
    admitted: asyncio.Future[bool]  # True: beyond the room
    timer: asyncio.TimerHandle | None = None

    @property
    def rows(self) -> int:
        return self.claim.rows

    @property
    def is_admitted(self) -> bool:
        admitted = self.admitted
        return admitted.done() and not admitted.cancelled() and admitted.exception() is None


class WaitQueue:
    """All of them: first come first served, single calls before the frames of streams."""

    def __init__(self) -> None:
        self.calls: deque[Waiter] = deque()
        self.frames: deque[Waiter] = deque()
        self.rows = 0

    def queue(self, claim: Claim) -> deque[Waiter]:
        return self.frames if claim.streamed else self.calls

    @property
    def first(self) -> Waiter | None:
        """Whose turn it is; None: nobody waits."""
        queue = self.calls or self.frames
        return queue[0] if queue else None

    def add(self, waiter: Waiter) -> None:
        self.queue(waiter.claim).append(waiter)
        self.rows += waiter.rows

    def remove(self, waiter: Waiter) -> bool:
        """Whether it was there."""
        queue = self.queue(waiter.claim)
        if waiter not in queue:
            return False
        queue.remove(waiter)
        self.rows -= waiter.rows
        return True


class Permit:
    """The rows of one request inside and their cost; given back at the end of the `with` block. `late`: it came in
    beyond the room."""

    def __init__(
        self,
        rows: int,
        cost: int,
        late: bool,
        on_resize: Callable[[int, int], None],
        on_release: Callable[[int, int, bool], None],
    ) -> None:
        self.rows, self.cost, self.late, self._on_resize, self._on_release = rows, cost, late, on_resize, on_release

    def resize(self, rows: int, costs: int | None = None) -> None:
        """It turned out to be another number of rows, and another cost. Never waits: the next to enter does."""
        more = 0 if costs is None else costs - self.cost
        self._on_resize(rows - self.rows, more)
        self.rows, self.cost = rows, self.cost + more

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on_release(self.rows, self.cost, kind is None)
