"""One memory of one session, between two frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...core.request import Features, Request
from ...core.strategy import Strategy


class Key(NamedTuple):
    """What tells the memories of one session apart: all of it as asked, whatever is degraded later."""

    strategy: Strategy[Any]
    labels: str  # label set id
    reduction: Reduction | None  # None: features made on the device

    @classmethod
    def of(cls, request: Request, strategy: Strategy[Any]) -> Key:
        reduction = None if isinstance(request.image, Features) else request.reduction
        return cls(strategy, request.labels.id, reduction)


class Kept:
    """A memory between two frames; only the turn that stands first touches it. `grew(bytes)` hears every change."""

    def __init__(self, key: Key, labels: LabelSet, grew: Callable[[int], None]) -> None:
        self.key, self.labels = key, labels
        self.value: Any = None
        self.bytes, self.begun = 0, False
        self._anew = False  # it was lost or reset, and no answer has said so yet
        self._grew = grew

    @property
    def empty(self) -> bool:
        """Nothing is kept, and nothing is left to tell."""
        return not (self.begun or self._anew)

    def keep(self, value: Any, size: int) -> None:
        """What the frame whose turn it is leaves behind."""
        self._grew(size - self.bytes)
        self.value, self.bytes, self.begun = value, size, True

    def forget(self) -> None:
        """Starts afresh with the next frame."""
        self._grew(-self.bytes)
        self._anew = self._anew or self.begun
        self.value, self.bytes, self.begun = None, 0, False

    def tell_anew(self) -> bool:
        """Whether it began anew with this frame; said once."""
        anew, self._anew = self._anew, False
        return anew
