"""What enters the hallway and what leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from torch import Tensor

from .labels import LabelSet
from .reducer import Reduction
from .strategy import Strategy
from .views import Views

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG, PNG or WebP file."""

    data: bytes


class PixelFormat(StrEnum):
    """How the bytes of a raw frame become pixels."""

    RGB24 = "RGB24"
    BGR24 = "BGR24"
    GRAY8 = "GRAY8"
    NV12 = "NV12"


@dataclass(frozen=True, slots=True)
class Raw:
    """Raw pixels, rows top to bottom without padding."""

    width: int
    height: int
    format: PixelFormat
    pixels: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """View embeddings made on the device, [v, d], row 0 the plain view, finite and of unit norm."""

    rows: Tensor


# Of the pocket model's plain answers that are surer than this, 88 % (200 classes) and 97 % (ten) are right on the tune
# split, of the rest 30 % and 64 %. Other strategies' logits are votes, or sharpened: their entropies say nothing by
# themselves.
USUAL_THRESHOLD: Mapping[str, float] = {"zero_shot": 0.25, "mean": 0.25}


@dataclass(frozen=True, slots=True)
class Cascade:
    """Go on to `to` when the first answer's entropy divided by ln C is above `above`."""

    to: Strategy[Any]
    above: float


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One image, one question."""

    image: Encoded | Raw | Features
    labels: LabelSet
    strategy: Strategy[Any]
    reduction: Reduction
    cascade: Cascade | None = None
    owner: str = ""
    client: str = ""  # who shares in the server's room: the owner, or the address where nobody is asked who they are
    session: str = ""  # empty: a fresh one for this call alone
    frame_id: int | None = None  # None: not a frame of a stream
    policy: str = ""  # of the stream that carries it ("latest", "block", …); empty: a unary call
    arrived: float | None = None  # time.monotonic() when the frame came in, None: when the engine sees it
    seed: int = 0
    deadline: float | None = None  # time.monotonic() seconds
    on_deadline: Literal["degrade", "fail"] = "degrade"
    explain: bool = False
    request_id: str = ""
    trace: str = ""  # the caller's span as a W3C traceparent; spans of this request go below it

    @property
    def streamed(self) -> bool:
        """Whether a stream carries it."""
        return bool(self.policy)


@dataclass(frozen=True, slots=True)
class Degraded:
    """Less was done than asked."""

    reason: Literal["deadline", "overload", "memory"]
    views_asked: int
    views_done: int
    zero_shot: bool = False  # the strategy was not run and its memory not touched


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """What the session has seen, after this answer."""

    id: str
    origin: Literal["fresh", "continued", "restored"] = "fresh"
    frames: int = 0
    memory_bytes: int = 0
    memory_reset: bool = False  # the strategy's memory began anew with this frame
    last_frame_id: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why this answer. Vectors [v] run over the rows that were used."""

    views: Views | None  # None when the features came from the device
    entropy: Tensor  # [v] nats
    label: Tensor  # [v] each view's own top label
    kept: Tensor  # [v] bool
    weight: Tensor  # [v] in the answer; sums to 1
    notes: Mapping[str, float] = field(default_factory=dict[str, float])  # what the strategy itself has to say
    tokens_left: tuple[int, ...] = ()  # patch tokens of the plain view after each layer


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The answer and how it came about. Replies, metrics and spans are read off this one value."""

    request: Request
    strategy: Strategy[Any]  # that really answered
    logits: Tensor  # [c] adapted, on the CPU
    zero_shot: Tensor  # [c] row 0 against the text features, on the CPU
    views: int  # rows really used
    seconds: Mapping[str, float]  # by stage of STAGES, and "total": arrival to answer
    batch_rows: int  # rows of the largest forward that carried this image
    session: SessionStatus
    degraded: Degraded | None = None
    escalated: bool = False
    explanation: Explanation | None = None
    unseen: tuple[str, ...] = ()  # label names that the text tower was never taught
    feature: Tensor | None = None  # [d] of the plain view, on the CPU; for those who watch how the images change
