"""Lessons: a person's word about what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from .labels import LabelSet
from .lesson_sums import Noise
from .reducer import Reduction
from .request import Encoded, Features, Raw
from .trust import Drawn


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A picture as a session remembers it: features, where they came from, and a thumbnail if there is one."""

    id: str  # unique, also among the sessions of other servers
    views: Tensor  # [1 or 2, d] float16 on the CPU: the plain view, and the mean of the confident views if there were
    labels: LabelSet  # with which it was classified
    reduction: Reduction | None  # None: the client sent features
    seen: float  # Unix seconds
    frame_id: int | None = None  # None: it was no frame of a stream
    request_id: str = ""
    thumbnail: bytes = b""  # JPEG; empty: none is kept
    other_model: str = ""  # fingerprint of the model that made the features, if it is not this server's
    drawn: Drawn | None = None  # the picture was drawn uniformly to be asked about

    @property
    def set_apart(self) -> bool:
        """Nothing learns from it: its features are of another model."""
        return bool(self.other_model)

    def concerns(self, labels: str, reduction: Reduction | None) -> bool:
        """Whether it is of that label set id and reduction, and not set apart."""
        return not self.set_apart and (self.labels.id, self.reduction) == (labels, reduction)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a person said about an example. The latest lesson about an example and a label set replaces earlier ones."""

    number: int  # in the order of teaching, from 1 in each session or group
    example: Example
    label: str | None  # a name of the example's labels; None: none of these
    taught: float = 0.0  # Unix seconds

    def concerns(self, labels: str, reduction: Reduction | None) -> bool:
        """Whether its example is."""
        return self.example.concerns(labels, reduction)


def is_covered(example: Example, label: str | None) -> bool | None:
    """Whether the prediction set of a picture that was drawn held that label; None: there was no set, or no class."""
    if example.drawn is None or example.drawn.prediction_set is None or label is None:
        return None
    return example.labels.names.index(label) in example.drawn.prediction_set


def is_right(drawn: Drawn, names: Sequence[str], label: str | None) -> bool:
    """Whether the answer to a picture that was drawn is what a person says it shows."""
    return names[int(drawn.logits.argmax())] == label


class Reason(StrEnum):
    """Why a person is asked about a picture."""

    ASKED = "asked"  # the caller wants it
    UNIFORM = "uniform"  # the frame was drawn, whatever its answer
    DEFERRED = "deferred"  # its answer is left to a person
    COLLAPSED = "collapsed"  # plain CLIP answers recent frames alike, whatever they show
    INFORMATIVE = "informative"  # its answer is unsure, and it is unlike what was asked about and taught before


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An example that waits until a person says what it shows."""

    example: Example
    logits: Tensor  # [c] float32 on the CPU, as the picture was answered
    reason: Reason


@dataclass(frozen=True, slots=True)
class FrameRef:
    """The session's recent frame of that id."""

    id: int


@dataclass(frozen=True, slots=True)
class RequestRef:
    """The session's recent call of that request id."""

    id: str


@dataclass(frozen=True, slots=True)
class ExampleRef:
    """The picture of a recent frame or an earlier lesson."""

    id: str


@dataclass(frozen=True, slots=True, eq=False)
class LessonRequest:
    """What a caller says about a picture, before it is looked up. Raises nothing by itself."""

    about: FrameRef | RequestRef | ExampleRef | Encoded | Raw | Features | Example
    label: str | None  # None: none of these
    labels: LabelSet | None  # None: those with which the frame was classified
    reduction: Reduction  # of a picture


@dataclass(frozen=True, slots=True)
class LessonResult:
    """What became of a lesson."""

    example: str
    replaced: bool = False
    learnt_by: tuple[str, ...] = ()  # names of strategies whose memory has learnt it
    began_anew: tuple[str, ...] = ()  # whose memory begins anew, because a lesson was taken back
    set_apart: bool = False  # nothing learns from it
    stored: bool = False  # the state store has it


@dataclass(frozen=True, slots=True)
class SumsRequest:
    """Which sums of a group somebody asks for."""

    labels: LabelSet | None  # None: of all label sets and reductions
    reductions: tuple[Reduction | None, ...]  # of `labels`; empty: all
    dimension: int  # of the model
    noise: Noise | None  # needs labels and one reduction; None: exact

    def concerns(self, lesson: Lesson) -> bool:
        """Whether the lesson is in these sums: of a class, of this server's model, and of what is asked for."""
        example = lesson.example
        if lesson.label is None or example.set_apart or (self.reductions and example.reduction not in self.reductions):
            return False
        return self.labels is None or self.labels.id == example.labels.id
