"""What happened, as frozen values for one `observe(event)`: nothing inside the house calls a meter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .errors import TTAError
from .request import Report


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that got an error instead of an answer."""

    error: TTAError
    method: str  # the rpc's name
    strategy: str  # "" when it was not known yet


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was never looked at."""

    reason: Literal["superseded", "budget", "deadline", "rate", "draining", "cancelled"]
    policy: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A session that ended."""

    reason: Literal["client", "idle", "capacity", "shutdown"]
    frames: int


@dataclass(frozen=True, slots=True)
class Forward:
    """One batch through the image tower."""

    rows: int
    requests: int
    seconds: float
    reducer: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    """A gRPC call that began (`code` None) or ended (`code` the status name, `seconds` its duration)."""

    service: str
    method: str
    kind: Literal["unary", "bidi_stream", "server_stream", "client_stream"]
    code: str | None = None
    seconds: float = 0.0


Event = Report | Refused | Dropped | Closed | Forward | Called
Observe = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer of those who do not look."""
