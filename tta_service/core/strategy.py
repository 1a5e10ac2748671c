"""The protocol of a test-time adaptation method: functions on features, with the memory as an explicit value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from annotated_types import Ge, Gt, Le
from torch import Tensor

from .errors import Unsupported
from .evidence import Evidence
from .labels import TextSpace
from .lesson_sums import LessonSums
from .memory import with_tensors

Memory = TypeVar("Memory")


class Scope(StrEnum):
    """How long a memory lives."""

    REQUEST = "request"  # no memory
    LABELS = "labels"  # computed once for a label set, then constant
    SESSION = "session"  # updated by each frame of one session


@dataclass(frozen=True, slots=True)
class Needs:
    """What the engine must provide to a strategy."""

    views: int = 1  # the plain one included
    fewest: int = 1  # it still works with this many rows
    augment: str = "crop"  # "crop" (random resized crop and flip) | "augmix" | "named"
    confident: float = 1.0  # the fraction of views that it uses, by lowest entropy; 1.0: all of them
    memory: Scope = Scope.REQUEST
    gradient: bool = False  # `adapt` differentiates `Prompts`, and so runs in the tune lane
    rounds: tuple[int, ...] = ()  # rising; after so many views `is_settled` is asked whether they are enough


# Parameters that several strategies have.
ViewCount = Annotated[int, Ge(1), Le(512), "views of the image, the plain one included"]
Confident = Annotated[float, Gt(0), Le(1), "fraction of views kept by lowest entropy"]
Augment = Annotated[Literal["crop", "augmix"], "how views are made"]
Agreement = Annotated[
    float,
    Ge(0.5),
    Le(1),
    "share of images that get the answer of all views; below 1 fewer are encoded where they suffice",
]
Capacity = Annotated[int, Ge(1), Le(256), "images remembered per class"]


class Strategy(ABC, Generic[Memory]):
    """An adaptation method. An instance is a frozen, hashable dataclass of its hyper-parameters.

    A memory is None, or a NamedTuple or dataclass of tensors. Their shapes depend only on the text space and the
    fields, so that `core/memory.py` can copy, count and restore the memory of any strategy.
    """

    name: ClassVar[str]

    def needs(self) -> Needs:
        """What the engine must prepare; equal instances have equal needs."""
        return Needs()

    @abstractmethod
    def begin(self, text: TextSpace) -> Memory:
        """The memory of a session (or label set) before the first frame; None for `Scope.REQUEST`."""

    def adapt(self, seen: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """Logits [c] of the image, and the memory after it: `predict`, then `update`.

        A method of one step overrides this, one that answers before it learns overrides the two. The logits are any
        vector whose softmax is the method's answer. The evidence must stay unchanged. The memory may be updated in
        place, because the old value is not used again.
        """
        logits, carry = self.predict(seen, memory)
        return logits, self.update(seen, memory, carry)

    def predict(self, seen: Evidence, memory: Memory) -> tuple[Tensor, Any]:
        """Logits [c] of the image, and what `update` needs of the work: by default all of `adapt`."""
        base: Any = Strategy
        if type(self).adapt is base.adapt:
            raise NotImplementedError(f"{type(self).__qualname__} defines neither adapt nor predict")
        return self.adapt(seen, memory)

    def update(self, seen: Evidence, memory: Memory, carry: Any) -> Memory:
        """The memory after the image; `carry` comes from `predict`, and by default is that memory.

        A strategy that overrides this is answered while it learns. It runs in the lane and mode of `predict`, once
        after each; the session's turn ends with it.
        """
        return carry

    def is_settled(self, seen: Evidence, views: int) -> bool:
        """Whether the answer is unlikely to change with all `views` views; the image is then answered with these.

        Asked after each of the `rounds` of `needs`; optional, pure, without memory.
        """
        return False

    def teach(self, seen: Evidence, label: int, memory: Memory) -> Memory:
        """The memory after a person said that the image is of class `label`; optional.

        The rows are the plain view and, if there were several, the mean of the confident ones. Like `adapt` it may
        work in place, and it is short: what takes longer is left to `fit`. Raises `Unsupported` where the strategy does
        not learn from lessons, which `is_teachable` tells.
        """
        raise Unsupported(f"{self.name} does not learn from lessons", "options.strategy.name")

    def teach_none(self, seen: Evidence, memory: Memory) -> Memory:
        """The memory after a person said that the image is of none of the classes; optional, for what `teach` learns.

        Like `teach` in all else. `learns_none` tells who has it; by default nothing is learnt.
        """
        return memory

    def add_sums(self, sums: LessonSums, memory: Memory) -> Memory:
        """The memory with the sums of another site's lessons; optional, for what `teach` learns.

        Called for each site before the lessons, of a memory that has just begun; `fit` follows, even without lessons.
        `takes_sums` tells who has it; by default nothing is learnt.
        """
        return memory

    def fit_is_due(self, memory: Memory) -> bool:
        """Whether `fit` would give other values than the memory holds; cheap."""
        return False

    def fit(self, memory: Memory, text: TextSpace) -> Mapping[str, Tensor]:
        """New values for the fields of the memory that are computed from all of its lessons; pure, may take seconds.

        It can run on a copy while the session goes on, because `adapt` and `teach` only read these fields; `apply_fit`
        puts the values into the memory of then.
        """
        return {}

    def explain(self, seen: Evidence, memory: Memory) -> Mapping[str, Tensor | float]:
        """Why this answer; called after `adapt`, pure.

        Reserved keys are `kept [k]`, `weight [v]` (sums to 1), `fill` (0..1), `admitted`, `steps` and `loss`. Other
        keys hold one number each, and reach the client under their names.
        """
        return {}


@lru_cache(maxsize=1024)
def needs_of(strategy: Strategy[Any]) -> Needs:
    """What `strategy.needs()` returns; asked once of equal instances."""
    return strategy.needs()


def is_teachable(strategy: Strategy[Any]) -> bool:
    """Whether the strategy learns from lessons: it overrides `teach`."""
    base: Any = Strategy
    return type(strategy).teach is not base.teach


def learns_none(strategy: Strategy[Any]) -> bool:
    """Whether the strategy learns from pictures of none of the classes: it overrides `teach_none`."""
    base: Any = Strategy
    return type(strategy).teach_none is not base.teach_none


def takes_sums(strategy: Strategy[Any]) -> bool:
    """Whether the strategy learns from the sums of other sites: it overrides `add_sums`."""
    base: Any = Strategy
    return type(strategy).add_sums is not base.add_sums


def apply_fit(memory: Memory, values: Mapping[str, Tensor]) -> Memory:
    """The memory with the values that `Strategy.fit` gave; its other fields stay as they are."""
    if not values:
        return memory
    # Contiguous, as a snapshot restores them: the order of sums, and so the last bit of an answer, hangs on the layout.
    laid_out = {name: value.contiguous() for name, value in values.items()}
    return with_tensors(memory, laid_out)


@lru_cache(maxsize=1024)
def predicts_first(strategy: Strategy[Any]) -> bool:
    """Whether the strategy answers before it learns: it overrides `update`."""
    base: Any = Strategy
    return type(strategy).update is not base.update


class Stateless(Strategy[None]):
    """A strategy without a memory: each image is classified by itself."""

    def begin(self, text: TextSpace) -> None:
        """There is no memory."""
        return None
