"""The protocol of a test-time adaptation method: functions on features, with the memory as an explicit value."""

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


class Strategy(ABC, Generic[Memory]):
    """An adaptation method. An instance is a frozen, hashable dataclass of its hyper-parameters.

    A memory is None, or a NamedTuple or dataclass of tensors. Their shapes depend only on the text space and the
    fields, so that `core/memory.py` can copy, count and restore the memory of any strategy.
    """

    name: ClassVar[str]

    def needs(self) -> Needs:
        """What the engine must prepare. It is constant for an instance, cheap, and read several times a request."""
        return Needs()

    @abstractmethod
    def begin(self, text: TextSpace) -> Memory:
        """The memory of a session (or label set) before the first frame; None for `Scope.REQUEST`."""

    @abstractmethod
    def adapt(self, seen: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """Logits [c] of the image, and the memory after it.

        The logits are any vector whose softmax is the method's answer. The evidence must stay unchanged. The memory
        may be updated in place, because the old value is not used again.
        """

    def unfold(self, seen: Evidence, memory: Memory) -> Generator[Tensor, None, Memory]:
        """`adapt` in two steps: yields the logits [c], then returns the memory after the image.

        A strategy that predicts before it updates overrides this, so that its answer can be sent while it learns. The
        session's turn ends with the second step. The caller runs both steps, in the lane and mode of `adapt`.
        """
        logits, memory = self.adapt(seen, memory)
        yield logits
        return memory

    def explain(self, seen: Evidence, memory: Memory) -> Mapping[str, Tensor | float]:
        """Why this answer; called after `adapt`, pure.

        Reserved keys are `kept [k]`, `weight [v]` (sums to 1), `fill` (0..1), `admitted`, `steps` and `loss`. Other
        keys hold one number each, and reach the client under their names.
        """
        return {}


def completed(steps: Generator[Answer, None, Memory]) -> tuple[Answer, Memory]:
    """Take both steps of `unfold`: the logits, and the memory after the image."""
    return next(steps), remembered(steps)


def remembered(steps: Generator[Answer, None, Memory]) -> Memory:
    """Take the second step of `unfold` after the first: the memory after the image."""
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise RuntimeError("unfold yields once, then returns the memory")


def predicts_first(strategy: Strategy[Any]) -> bool:
    """Whether the strategy answers before it updates, which is so when it overrides `unfold`."""
    default: Any = Strategy
    return type(strategy).unfold is not default.unfold


class Stateless(Strategy[None]):
    """A strategy without a memory: each image is classified by itself."""

    def begin(self, text: TextSpace) -> None:
        """There is no memory."""
        return None
