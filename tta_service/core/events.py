"""Events as frozen values, given to one function `observe(event)`. Telemetry turns them into metrics and spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import TTAError
from .request import Report


@dataclass(frozen=True, slots=True)
class Refused:
    """A request ended with an error."""

    error: TTAError
    method: str  # the rpc's name
    strategy: str  # "" when the request failed before it was known
    policy: str = ""  # of the stream that carried the frame; "" for a unary call
    trace: str = ""  # the caller's span as a W3C traceparent
    request_id: str = ""  # as the caller gave it
    session: str = ""  # named by the caller, or of the stream
    frame_id: int | None = None  # None: not a frame of a stream
    owner: str = ""  # of the caller; "" where callers are not asked who they are, or before they are known


@dataclass(frozen=True, slots=True)
class Received:
    """A frame arrived on a stream."""

    policy: str


@dataclass(frozen=True, slots=True)
class Streaming:
    """A stream opened or ended."""

    policy: str
    open: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame was discarded before it was encoded."""

    reason: str  # "superseded", "budget", "cancelled"
    policy: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A session ended."""

    reason: Literal["client", "idle", "capacity", "bytes", "shutdown", "moved"]
    frames: int


@dataclass(frozen=True, slots=True)
class Audited:
    """Somebody changed what the audit log is about: lessons, sessions by a restore, switches."""

    action: str
    owner: str  # of the caller; "" where callers are not asked who they are
    key: str  # the id of its API key, if it showed one
    about: Mapping[str, Any]  # for JSON


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
    """The probe of an idle device: one row was encoded. `failed`: its features are not finite, or it raised."""

    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Called:
    """A gRPC call began (`code` None) or ended (`code` is the status name, `seconds` the duration)."""

    service: str
    method: str
    kind: Literal["unary", "bidi_stream", "server_stream", "client_stream"]
    code: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Messaged:
    """One message of a gRPC call was received or sent."""

    service: str
    method: str
    kind: Literal["unary", "bidi_stream", "server_stream", "client_stream"]
    sent: bool


@dataclass(frozen=True, slots=True)
class Responded:
    """A request by HTTP was answered."""

    method: str  # the rpc's name
    code: int  # of HTTP
    seconds: float


Event = (
    Report
    | Refused
    | Received
    | Streaming
    | Dropped
    | Closed
    | Forward
    | Canary
    | Called
    | Messaged
    | Responded
    | Audited
)
Observe = Callable[[Event], None]


def ignore(event: Event) -> None:
    """An observer that does nothing."""
