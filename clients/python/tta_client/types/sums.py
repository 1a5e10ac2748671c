"""Sums of lessons, which sites exchange: counts, sums and scatter, and no picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import blame_field, make_refusal
from ..v1 import tta_pb2
from .labels import LabelSet, make_label_set_message, read_label_set
from .options import Reduction, make_reduction_message, parse_reduction
from .values import read_fields


@dataclass(frozen=True, slots=True)
class LessonSums:
    """What the lessons of one label set and reduction say together. Those of several sites add up.

    The numbers are float32, little-endian, as `numpy.frombuffer(sums.sums, "<f4")` reads them.
    """

    labels: LabelSet
    model: str  # fingerprint
    dimension: int  # of its features
    counts: tuple[int, ...]  # of each class
    sums: bytes = field(repr=False)  # [classes, dimension] of unit features
    scatter: bytes = field(repr=False)  # upper triangle of [dimension, dimension], row by row
    epsilon: float = 0.0  # of differential privacy, for one lesson more or less; 0: no noise was added
    delta: float = 0.0
    reduction: Reduction | None = None  # None: clients sent the features


@dataclass(frozen=True, slots=True)
class GivenSums:
    """The sums of a lesson group, and what privacy it has given up."""

    sums: tuple[LessonSums, ...]
    epsilon_given: float  # by this call and those before it, since the server opened the group; infinite once exact
    delta_given: float  # sums were given


@dataclass(frozen=True, slots=True)
class TakenSums:
    """What the sums of a site have changed."""

    began_anew: tuple[str, ...]  # strategies whose memories began anew
    stored: bool  # the service's state store has them


def parse_given_sums(reply: tta_pb2.GetLessonSumsResponse) -> GivenSums:
    """The sums of the wire."""
    return read_fields(GivenSums, reply, sums=tuple(_parse_sums(one) for one in reply.sums))


def make_sums_message(sums: LessonSums, path: str) -> tta_pb2.LessonSums:
    """The message for the field at `path`. Raises `Refused`, naming it, for what was not given by a service."""
    with blame_field(path):
        if not isinstance(sums, LessonSums):
            raise make_refusal(f"{repr(sums)[:60]} is no LessonSums", "")
        message = tta_pb2.LessonSums(
            label_set=make_label_set_message(sums.labels),
            model=sums.model,
            dimension=sums.dimension,
            counts=sums.counts,
            sums=sums.sums,
            scatter=sums.scatter,
            epsilon=sums.epsilon,
            delta=sums.delta,
        )
        if sums.reduction is not None:
            message.reduction.CopyFrom(make_reduction_message(sums.reduction, "reduction"))
        return message


def _parse_sums(message: tta_pb2.LessonSums) -> LessonSums:
    reduction = parse_reduction(message.reduction) if message.HasField("reduction") else None
    return read_fields(LessonSums, message, labels=read_label_set(message.label_set), reduction=reduction)
