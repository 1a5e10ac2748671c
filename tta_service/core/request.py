"""A request to the engine, and the report that answers it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .caution import Caution
from .evidence import Views
from .image import Encoded, Features, Raw
from .image import PixelFormat as PixelFormat
from .labels import LabelSet
from .reducer import Reduction
from .strategy import Strategy
from .token_map import TokenMap
from .trust import NOTHING, Trust, TrustOptions

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt")


# Accuracy of the pocket model's zero-shot answers on the tune split: below this 88 % (200 classes) and 97 % (ten),
# above it 30 % and 64 %. Other strategies return votes or sharpened logits, on other scales: no default.
USUAL_THRESHOLD: Mapping[str, float] = {"zero_shot": 0.25, "mean": 0.25}


@dataclass(frozen=True, slots=True)
class Cascade:
    """Run the strategy `to` as well when the first answer's entropy divided by ln C is above `above`."""

    to: Strategy[Any]
    above: float


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One image to classify, and all options of the call."""

    image: Encoded | Raw | Features
    labels: LabelSet
    strategy: Strategy[Any]
    reduction: Reduction
    cascade: Cascade | None = None
    owner: str = ""
    client: str = ""  # whose quota it counts against: the owner, or without authentication the address
    session: str = ""  # empty: a new one for this call only
    group: str = ""  # that the session's lessons are shared with from now on; empty: it stays in its own
    frame_id: int | None = None  # None: not a frame of a stream
    policy: str = ""  # of the stream that carries it ("latest", "block", …); empty: a unary call
    arrived: float | None = None  # time.monotonic() of the frame's arrival; None: when the engine receives it
    seed: int = 0
    deadline: float | None = None  # time.monotonic() seconds
    on_deadline: Literal["degrade", "fail"] = "degrade"
    explain: bool = False
    guard: bool = True  # a memory without lessons does not answer where there is a sign that it does harm
    ask: bool = False  # the picture becomes a question to a person
    remember: bool = False  # the report has what an example needs, whether or not a session remembers the picture
    trust: TrustOptions = NOTHING
    request_id: str = ""
    trace: str = ""  # the caller's span as a W3C traceparent, the parent of this request's spans

    @property
    def streamed(self) -> bool:
        """Whether a stream carries it."""
        return bool(self.policy)

    def peek(self) -> Request:
        """Itself: a request that is not replaced while it waits is its own `PendingRequest`."""
        return self

    take = peek


class PendingRequest(Protocol):
    """A request that waits for admission, and that a newer frame of its stream may replace until it is taken."""

    def peek(self) -> Request:
        """The request that `take` would return now. Raises the `TTAError` of a frame that is no request."""
        ...

    def take(self) -> Request:
        """The request that runs; from now on it is not replaced. Raises as `peek`."""
        ...


@dataclass(frozen=True, slots=True)
class Degraded:
    """The answer used less work than requested, and why."""

    reason: Literal["deadline", "overload", "disabled"]  # disabled: the strategy is switched off
    views_asked: int
    views_done: int
    zero_shot: bool = False  # the strategy did not run and its memory is unchanged


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """The state of the session after this answer."""

    id: str
    origin: Literal["fresh", "continued", "restored"] = "fresh"
    frames: int = 0
    memory_bytes: int = 0
    memory_reset: bool = False  # the strategy's memory was started anew with this frame
    last_frame_id: int = 0
    lessons_set_apart: int = 0  # of another model, so nothing learns from them


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """How the answer came about. Vectors [v] are over the rows that were used."""

    views: Views | None  # None when the features came from the device
    entropy: Tensor  # [v] nats
    label: Tensor  # [v] each view's own top label
    kept: Tensor  # [v] bool, the confident rows
    weight: Tensor  # [v] in the answer; sums to 1
    notes: Mapping[str, float] = field(default_factory=dict[str, float])  # the strategy's own numbers
    tokens_left: tuple[int, ...] = ()  # patch tokens of the plain view after each layer
    token_map: TokenMap | None = None  # None: not asked for, or the image tower does not tell


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The softmax of logits, in numpy: on the event loop ten small torch calls cost five times more."""

    logits: NDArray[np.float64]  # [c]
    best: int  # class with the largest logit, of equal ones the first
    values: NDArray[np.float64]  # [c] they sum to 1; NaN unless the largest logit is finite
    entropy: float  # nats, with 0 ln 0 = 0
    relative_entropy: float  # divided by ln c: 0 certain, 1 uniform; 0 for one class

    @classmethod
    def of(cls, logits: Tensor) -> Scores:
        """The scores of logits [c], which may be −inf."""
        numbers = logits.detach().double().numpy()
        with np.errstate(invalid="ignore"):
            values = softmax(numbers)
        positive = values[values != 0]
        entropy = float(abs(positive @ np.log(positive)))
        return cls(numbers, int(numbers.argmax()), values, entropy, entropy / math.log(max(2, len(values))))


@dataclass(frozen=True, eq=False)
class Report:
    """The answer and how it came about. Replies, metrics and spans are all made from this value."""

    request: Request
    strategy: Strategy[Any]  # that answered: the cascade's second one if `escalated`
    logits: Tensor  # [c] adapted, on the CPU
    zero_shot: Tensor  # [c] row 0 against the text features, on the CPU; of a zero-shot answer the logits themselves
    views: int  # rows used
    seconds: Mapping[str, float]  # by stage of STAGES, and "total": arrival to answer
    batch_rows: int  # rows of the largest forward that carried this image
    session: SessionStatus
    degraded: Degraded | None = None
    escalated: bool = False
    guarded: bool = False  # the guard has put an answer without memory in the place of the memory's
    rejected: bool = False  # no memory has learnt from the picture, which `admit_below` did not admit
    cosine: float = 0.0  # between the plain view and the nearest text
    trust: Trust | None = None
    explanation: Explanation | None = None
    unseen: tuple[str, ...] = ()  # label names that are not in the text tower's training data
    feature: Tensor | None = None  # [d] of the plain view, on the CPU; drift detection reads it
    example: Tensor | None = None  # [1 or 2, d] float16 as in `Example.views`, if the picture is remembered
    thumbnail: bytes = b""  # as in `Example`
    example_id: str = ""  # of the picture in its session; empty: it is not remembered
    asked: bool = False  # it waits as a question
    cautions: tuple[Caution, ...] = ()  # what warns of the answer

    @cached_property
    def scores(self) -> Scores:
        """Of the adapted logits."""
        return Scores.of(self.logits)

    @cached_property
    def zero_shot_scores(self) -> Scores:
        """Of the zero-shot logits."""
        return self.scores if self.zero_shot is self.logits else Scores.of(self.zero_shot)

    def complete(self, **fields: Any) -> Report:
        """A copy with these fields. It keeps the scores, which `replace` would forget."""
        vars(whole := object.__new__(Report)).update(vars(self), **fields)
        return whole
