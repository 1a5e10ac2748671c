"""How far an answer can be trusted: what a caller asks for, and what the answer says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Calibrate = Literal["none", "zero_shot_range", "lessons"]
Decision = Literal["answer", "defer", "none_of_these"]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """When a label becomes the stable one of a session, and when it ceases to be."""

    window: int  # frames
    enter: float  # of the window, by confidence: a label with as much becomes stable
    leave: float  # the stable label stays until it has less


@dataclass(frozen=True, slots=True)
class TrustOptions:
    """How the confidence of an answer is made, and what follows from it. By default nothing does."""

    calibrate: Calibrate = "none"
    defer_below: float | None = None  # confidence under which an answer is left to a person
    coverage: float | None = None  # of prediction sets that are to hold the label; those of other sizes than 1 defer
    none_below: float | None = None  # cosine under which a picture shows none of the classes
    admit_below: float = 0.0  # share of the session's recent cosines under which no memory learns from a frame
    smooth: Smoothing | None = None
    ask_per_hour: float | None = None  # questions that the session may ask by itself; None: as the rest says
    # What follows from them, asked of every answer.
    decides: bool = field(init=False, compare=False, repr=False)  # an answer may be deferred
    draws: bool = field(init=False, compare=False, repr=False)  # lessons about frames that are drawn uniformly count
    may_ask: bool = field(init=False, compare=False, repr=False)  # by what a frame shows, or by chance

    def __post_init__(self) -> None:
        given = (self.defer_below, self.coverage, self.none_below)
        object.__setattr__(self, "decides", any(one is not None for one in given))
        object.__setattr__(self, "draws", self.calibrate == "lessons" or self.coverage is not None)
        object.__setattr__(self, "may_ask", self.decides or self.draws or self.ask_per_hour is not None)


NOTHING = TrustOptions()


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """How far an answer can be trusted."""

    confidence: float  # probability that the answered label is right
    method: Calibrate  # that made it
    lessons: int = 0  # about frames that were drawn uniformly, from which it learned
    cosine: float = 0.0  # between the plain view and the nearest class's text
    cosine_quantile: float | None = None  # share of the session's recent cosines that are lower; None: there are none
    decision: Decision = "answer"
    prediction_set: tuple[int, ...] = ()  # classes, the most probable first
    guaranteed: bool = False  # the set holds the label as often as was asked for
    stable: int | None = None  # class; None: no label is stable, or nobody asked
    changed: bool = False  # with this frame another label became stable, or none is any more


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What was said about a picture that was drawn uniformly, before anybody said what it shows."""

    strategy: str  # that answered, with its parameters
    logits: Tensor  # [c] float32 on the CPU
    prediction_set: tuple[int, ...] | None = None  # None: there was no guarantee yet
    confidence: float | None = None  # in the answered label; None: an older version did not keep it
