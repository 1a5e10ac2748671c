"""The protocol of a test-time adaptation method: pure functions on features, memory as a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from .evidence import Evidence
from .labels import TextSpace

Memory = TypeVar("Memory")
Answer = TypeVar("Answer")


class Scope(StrEnum):
    """How long a memory lives."""

    REQUEST = "request"  # there is none
    LABELS = "labels"  # made once for a label set, never changed
    SESSION = "session"  # carried from frame to frame of one session


@dataclass(frozen=True, slots=True)
class Needs:
    """What a strategy asks of the engine before it can start."""

    views: int = 1
    fewest: int = 1  # it still works with this many rows
    augment: str = "crop"  # "crop" (random resized crop and flip) | "augmix" | "named"
    confident: float = 1.0  # the fraction of views that it keeps by lowest entropy; 1.0: it reads all
    memory: Scope = Scope.REQUEST
    gradient: bool = False  # adapt differentiates Prompts; it runs in the tune lane


class Strategy(ABC, Generic[Memory]):
    """An adaptation method. An instance *is* its hyper-parameters: a frozen dataclass, hashable, shareable.

    A memory is None, or a NamedTuple or dataclass of tensors whose shapes depend only on the text space and the
    fields, so that snapshots, byte counts and moves are written once (`core/memory.py`).
    """

    name: ClassVar[str]

    def needs(self) -> Needs:
        """What the engine must prepare. Read once per request."""
        return Needs()

    @abstractmethod
    def begin(self, text: TextSpace) -> Memory:
        """The memory of a session (or label set) that has seen nothing yet; None for `Scope.REQUEST`."""

    @abstractmethod
    def adapt(self, seen: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """Logits [c] of the image, and the memory to keep.

        Any vector whose softmax is the method's answer. The evidence stays untouched; the memory is *owned*: its
        storage may be reused, for nobody looks at the old value again.
        """

    def unfold(self, seen: Evidence, memory: Memory) -> Generator[Tensor, None, Memory]:
        """`adapt` in two steps: yields the logits [c], then returns the memory to keep.

        A strategy that predicts before it updates overrides this, so that its answer can be sent while it learns;
        the turn is over when it has ended. Whoever begins it runs it to its end, in the lane and mode of `adapt`.
        """
        logits, memory = self.adapt(seen, memory)
        yield logits
        return memory

    def explain(self, seen: Evidence, memory: Memory) -> Mapping[str, Tensor | float]:
        """Why this answer, after `adapt`; pure. Reserved keys: `kept [k]`, `weight [v]` (sums to 1), `fill` (0..1),
        `admitted`, `steps`, `loss`; others are passed on as numbers."""
        return {}


def completed(steps: Generator[Answer, None, Memory]) -> tuple[Answer, Memory]:
    """Both steps of `unfold`: what was said, and what is remembered."""
    return next(steps), remembered(steps)


def remembered(steps: Generator[Answer, None, Memory]) -> Memory:
    """The second step of `unfold`, once the first has been taken."""
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise RuntimeError("unfold yields once, then returns the memory")


def predicts_first(strategy: Strategy[Any]) -> bool:
    """Whether its answer is known before its update: it has an `unfold` of its own."""
    default: Any = Strategy
    return type(strategy).unfold is not default.unfold


class Stateless(Strategy[None]):
    """A strategy that treats every image as the first."""

    def begin(self, text: TextSpace) -> None:
        """There is no memory."""
        return None
