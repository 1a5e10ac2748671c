"""What requests ask of admission and what they get: claims and permits; and how much work each client may claim.

Work is counted in rows of the image tower; its cost is rows times passes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from ...core.errors import BadParameters, Overloaded, Unsupported
from ...core.request import Encoded, Features, Raw, Request
from ...core.strategy import Strategy, needs_of
from ...images.headers import guess_pixels
from ...maths import confident_count

Place = Literal["", "first", "seat", "late"]  # within the capacity; beyond it: `AdmissionController`
PIXELS_OF_A_ROW = 1 << 19  # that take about as long to decode as a row takes in the tower
LARGEST = 1 << 26  # pixels that count, so that no damaged header takes the turns of its client for long
KEPT_FREE = 16  # one part in so many is for clients that have no work here


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
    place: Place  # where it was admitted
    on_resize: Callable[[Permit, int, int], None]
    on_release: Callable[[Permit, bool], None]

    @property
    def late(self) -> bool:
        """It was admitted because it could wait no longer."""
        return self.place == "late"

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

    A client has at most so many `requests` (0: no bound).

    A request above a bound is accepted when it is the only one there; otherwise it could never run. The last
    sixteenth is kept for clients that have no work here.
    """

    def __init__(self, most: int = 0, share: float = 1.0, requests: int = 0) -> None:
        self._most, self._per_client, self._most_requests = most, share * most, requests
        self.total = 0
        self._clients, self._requests = Counter[str](), Counter[str]()

    def take(self, client: str, cost: int, retry_after: Callable[[], float]) -> None:
        """Counts `cost` for the client. Raises `Overloaded` when that exceeds a bound; `retry_after` gives seconds."""
        own, message, quota = self._clients[client], "", ""
        room = self._most - (self._most // KEPT_FREE if own else 0)
        if self._most and self.total and self.total + cost > room:
            message = f"{self.total} rows of work wait already, and this is {cost} more; there is room for {room}"
        elif self._most and own and own + cost > self._per_client:
            share = f"{self._per_client:.0f}"
            message = f"{own} rows of your work wait already, and this is {cost} more; your share is {share}"
            quota = "batch.client_share"
        if self._most_requests and self._requests[client] >= self._most_requests:
            quota, message = "limits.client_requests", f"{self._most_requests} requests of yours run or wait already"
        if message:
            error = Overloaded(message, retry_after=retry_after())
            raise error.of_quota(quota) if quota else error
        self.total += cost
        self._clients[client] += cost
        self._requests[client] += 1

    def give_back(self, client: str, cost: int) -> None:
        """A request of the client, of that cost, has ended."""
        self.total -= cost
        self._clients[client] -= cost
        self._requests[client] -= 1
        if not self._requests[client]:
            del self._requests[client], self._clients[client]

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
    views = (views or needs.views) + pixels_of(request) // PIXELS_OF_A_ROW
    second_look = 1 + confident_count(views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return views + second_look


def pixels_of(request: Request) -> int:
    """Pixels that will be decoded, as the first bytes say. Of those that will be refused not all count."""
    image, pixels = request.image, 0
    if isinstance(image, Raw):
        pixels = image.width * image.height
    elif isinstance(image, Encoded):
        pixels = guess_pixels(image.data)
    return min(pixels, LARGEST)


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
