"""One memory of one session, between two frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...core.request import Features, Request
from ...core.strategy import Strategy


class MemoryKey(NamedTuple):
    """What tells the memories of one session apart: all of it as asked, whatever is degraded later."""

    strategy: Strategy[Any]
    labels: str  # label set id
    reduction: Reduction | None  # None: features made on the device

    @classmethod
    def of(cls, request: Request, strategy: Strategy[Any]) -> MemoryKey:
        reduction = None if isinstance(request.image, Features) else request.reduction
        return cls(strategy, request.labels.id, reduction)


class MemorySlot:
    """A memory between two frames; only the turn that stands first touches it. `on_resize(bytes)` hears every
    change."""

    def __init__(self, key: MemoryKey, labels: LabelSet, on_resize: Callable[[int], None]) -> None:
        self.key, self.labels = key, labels
        self.value: Any = None
        self.bytes, self.begun = 0, False
        self._reset_untold = False  # it was lost or reset, and no answer has said so yet
        self._on_resize = on_resize

    @property
    def empty(self) -> bool:
        """Nothing is kept, and nothing is left to tell."""
        return not (self.begun or self._reset_untold)

    def store(self, value: Any, size: int) -> None:
        """What the frame whose turn it is leaves behind."""
        self._on_resize(size - self.bytes)
        self.value, self.bytes, self.begun = value, size, True

    def reset(self) -> None:
        """Starts afresh with the next frame."""
        self._on_resize(-self.bytes)
        self._reset_untold = self._reset_untold or self.begun
        self.value, self.bytes, self.begun = None, 0, False

    def pop_reset(self) -> bool:
        """Whether it began anew with this frame; said once."""
        untold, self._reset_untold = self._reset_untold, False
        return untold
