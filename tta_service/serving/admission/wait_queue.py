"""The requests that wait for admission, and the permits of those that run."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks of admission."""

    rows: int
    streamed: bool = False
    cost: int = 0  # rows times passes
    client: str = ""
    admit_by: Callable[[], float] = lambda: math.inf  # monotonic seconds; then it runs beyond the capacity, as one row


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits."""

    claim: Claim
    admitted: asyncio.Future[bool]  # True: beyond the capacity
    timer: asyncio.TimerHandle | None = None

    @property
    def rows(self) -> int:
        """Rows that it asks for."""
        return self.claim.rows

    @property
    def is_admitted(self) -> bool:
        """Whether it holds capacity: `admitted` has a result, no error and no cancellation."""
        admitted = self.admitted
        return admitted.done() and not admitted.cancelled() and admitted.exception() is None


class WaitQueue:
    """All waiting requests: first come first served, single calls before the frames of streams."""

    def __init__(self) -> None:
        self.calls: deque[Waiter] = deque()
        self.frames: deque[Waiter] = deque()
        self.rows = 0

    def queue_for(self, claim: Claim) -> deque[Waiter]:
        """The queue that a request with this claim joins."""
        return self.frames if claim.streamed else self.calls

    @property
    def first(self) -> Waiter | None:
        """The next request to admit; None: no request waits."""
        queue = self.calls or self.frames
        return queue[0] if queue else None

    def add(self, waiter: Waiter) -> None:
        """Appends it to its queue."""
        self.queue_for(waiter.claim).append(waiter)
        self.rows += waiter.rows

    def remove(self, waiter: Waiter) -> bool:
        """Takes it out of its queue. Returns whether it was there."""
        queue = self.queue_for(waiter.claim)
        if waiter not in queue:
            return False
        queue.remove(waiter)
        self.rows -= waiter.rows
        return True


class Permit:
    """The right of one request to run. Its rows and its cost are given back at the end of the `with` block.

    `late`: it was admitted beyond the capacity.
    """

    def __init__(
        self,
        rows: int,
        cost: int,
        late: bool,
        on_resize: Callable[[int, int], None],
        on_release: Callable[[int, int, bool], None],
    ) -> None:
        self.rows, self.cost, self.late, self._on_resize, self._on_release = rows, cost, late, on_resize, on_release

    def resize(self, rows: int, cost: int | None = None) -> None:
        """Changes its rows, and its cost (None: as before). Never waits: later requests do."""
        more = 0 if cost is None else cost - self.cost
        self._on_resize(rows - self.rows, more)
        self.rows, self.cost = rows, self.cost + more

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on_release(self.rows, self.cost, kind is None)
