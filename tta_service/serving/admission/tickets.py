"""Who waits at the door, and who is inside."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Visitor:
    """What somebody wants at the door."""

    rows: int
    streamed: bool = False
    cost: int = 0  # rows times passes
    client: str = ""
    latest: Callable[[], float] = lambda: math.inf  # monotonic seconds: then it enters beyond the room, as one row


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody outside."""

    visitor: Visitor
    let_in: asyncio.Future[bool]  # True: beyond the room
    alarm: asyncio.TimerHandle | None = None

    @property
    def rows(self) -> int:
        return self.visitor.rows

    @property
    def entered(self) -> bool:
        let_in = self.let_in
        return let_in.done() and not let_in.cancelled() and let_in.exception() is None


class Outside:
    """All of them: first come first served, single calls before the frames of streams."""

    def __init__(self) -> None:
        self.calls: deque[Waiter] = deque()
        self.frames: deque[Waiter] = deque()
        self.rows = 0

    def queue(self, visitor: Visitor) -> deque[Waiter]:
        return self.frames if visitor.streamed else self.calls

    @property
    def first(self) -> Waiter | None:
        """Whose turn it is; None: nobody waits."""
        queue = self.calls or self.frames
        return queue[0] if queue else None

    def add(self, waiter: Waiter) -> None:
        self.queue(waiter.visitor).append(waiter)
        self.rows += waiter.rows

    def remove(self, waiter: Waiter) -> bool:
        """Whether it was there."""
        queue = self.queue(waiter.visitor)
        if waiter not in queue:
            return False
        queue.remove(waiter)
        self.rows -= waiter.rows
        return True


class Place:
    """The rows of one request inside and their cost; given back at the end of the `with` block. `late`: it came in
    beyond the room."""

    def __init__(
        self,
        rows: int,
        cost: int,
        late: bool,
        grew: Callable[[int, int], None],
        left: Callable[[int, int, bool], None],
    ) -> None:
        self.rows, self.cost, self.late, self._grew, self._left = rows, cost, late, grew, left

    def resize(self, rows: int, costs: int | None = None) -> None:
        """It turned out to be another number of rows, and another cost. Never waits: the next to enter does."""
        more = 0 if costs is None else costs - self.cost
        self._grew(rows - self.rows, more)
        self.rows, self.cost = rows, self.cost + more

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left(self.rows, self.cost, kind is None)
