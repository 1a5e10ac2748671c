"""What requests ask of admission and what they get: claims and permits; and how much work each client may claim.

Work is counted in rows of the image tower; its cost is rows times passes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ...core.errors import BadParameters, Overloaded, Unsupported
from ...core.request import Features, Request
from ...core.strategy import Strategy, needs_of
from ...maths import confident_count


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks of admission."""

    rows: int
    streamed: bool = False
    cost: int = 0
    client: str = ""
    admit_by: Callable[[], float] = lambda: math.inf  # monotonic seconds; then it runs beyond the capacity, as one row


@dataclass(slots=True, eq=False)
class Permit:
    """The right of one request to run. Its rows and its cost are given back at the end of the `with` block."""

    client: str
    rows: int
    cost: int
    late: bool  # it was admitted beyond the capacity
    on_resize: Callable[[Permit, int, int], None]
    on_release: Callable[[Permit, bool], None]

    def resize(self, rows: int, cost: int | None = None) -> None:
        """Changes its rows, and its cost (None: as before). Never waits: later requests do."""
        cost = self.cost if cost is None else cost
        if (rows, cost) != (self.rows, self.cost):
            self.on_resize(self, rows, cost)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.on_release(self, kind is None)


class ClientQuota:
    """Bounds accepted work to `most` in all (0: no bound), and to the fraction `share` of that for one client.

    A request above a bound is accepted when it is the only one there; otherwise it could never run.
    """

    def __init__(self, most: int = 0, share: float = 1.0) -> None:
        self._most, self._per_client = most, share * most
        self.total = 0
        self._clients: Counter[str] = Counter()

    def take(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        """Counts `cost` for the client. Raises `Overloaded` when that exceeds a bound; `retry_after` gives seconds."""
        own, message = self._clients[client], ""
        if self._most and self.total and self.total + cost > self._most:
            message = f"{self.total} rows of work wait already, and this is {cost} more; there is room for {self._most}"
        elif self._most and own and own + cost > self._per_client:
            share = f"{self._per_client:.0f}"
            message = f"{own} rows of your work wait already, and this is {cost} more; your share is {share}"
        if message:
            raise Overloaded(message, retry_after=retry_after())
        self.total += cost
        self._clients[client] += cost

    def add(self, client: str, cost: int) -> None:
        """Changes the client's work by `cost`, which may be negative. Never refuses."""
        self.total += cost
        self._clients[client] += cost
        if not self._clients[client]:
            del self._clients[client]


def claim_for(request: Request, admit_by: Callable[[], float]) -> Claim:
    """The request's claim on admission. A cascade's second strategy is added when it runs."""
    rows, cost = work_of(request, request.strategy)
    return Claim(rows, request.streamed, cost, request.client, admit_by)


def work_of(request: Request, strategy: Strategy[Any]) -> tuple[int, int]:
    """Rows, and their cost: a strategy with gradients passes over its rows once more in each of its steps."""
    rows = rows_needed(request, strategy)
    return rows, rows * (1 + getattr(strategy, "steps", 1)) if needs_of(strategy).gradient else rows


def rows_needed(request: Request, strategy: Strategy[Any], views: int = 0) -> int:
    """Rows that the strategy will send to the image tower, at least one. `views`: how many it gets; 0: all it needs."""
    if isinstance(request.image, Features):
        return 1
    needs = needs_of(strategy)
    views = views or needs.views
    second_look = 1 + confident_count(views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return views + second_look


def check_combination(request: Request) -> None:
    """Raises `Unsupported` or `BadParameters` for a combination that can never be answered."""
    strategies = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    if request.cascade and request.cascade.to == request.strategy:
        raise BadParameters("a cascade goes on to another strategy than the first", "options.cascade.to")
    if request.reduction.scope == "two_looks" and not isinstance(request.image, Features):
        for strategy in strategies:
            if needs_of(strategy).confident >= 1:
                message = f"{strategy.name} reads every view, so there is nothing to choose for a second look"
                raise Unsupported(message, "options.reduction.scope")
