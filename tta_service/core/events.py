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
    policy: str = ""  # of the stream whose frame it was; "" when it was no frame
    trace: str = ""  # the caller's span as a W3C traceparent
    request_id: str = ""  # as the caller gave it
    session: str = ""  # that he named, or that his stream has
    frame_id: int | None = None  # None: not a frame of a stream


@dataclass(frozen=True, slots=True)
class Received:
    """A frame that came in on a stream."""

    policy: str


@dataclass(frozen=True, slots=True)
class Streaming:
    """A stream that has opened or ended."""

    policy: str
    open: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was never looked at."""

    reason: str  # "superseded", "budget", "rate", "draining", "cancelled"; a refused one: "decode_error", "deadline", …
    policy: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A session that ended."""

    reason: Literal["client", "idle", "capacity", "bytes", "shutdown", "moved"]
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
class Canary:
    """One row sent through an idle house, and whether its features came back finite."""

    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Called:
    """A gRPC call that began (`code` None) or ended (`code` the status name, `seconds` its duration)."""

    service: str
    method: str
    kind: Literal["unary", "bidi_stream", "server_stream", "client_stream"]
    code: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Messaged:
    """One message of a gRPC call, as it came in or went out."""

    service: str
    method: str
    kind: Literal["unary", "bidi_stream", "server_stream", "client_stream"]
    sent: bool


Event = Report | Refused | Received | Streaming | Dropped | Closed | Forward | Canary | Called | Messaged
Observe = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer of those who do not look."""
