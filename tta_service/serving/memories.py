"""One memory of one session, and the queue of the frames that want it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..core.labels import LabelSet
from ..core.reducer import Reduction
from ..core.request import Features, Request
from ..core.strategy import Strategy
from .turns import Turn, Wipe

T = TypeVar("T", bound=Turn)


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
        self._turns: deque[Turn] = deque()

    @property
    def empty(self) -> bool:
        """Nothing is kept and nobody waits."""
        return not (self.begun or self._anew or self._turns)

    def turn(self, over: Callable[[], None]) -> Turn:
        """A place at the end of the queue; `over` is called once, when it has been given up."""
        return self._queue(Turn(self, over))

    def wipe(self, over: Callable[[], None]) -> Wipe:
        """Like a frame that makes the memory forget; nobody has to wait for it."""
        return self._queue(Wipe(self, over))

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

    def pass_on(self, turn: Turn) -> None:
        """That turn is over, or was given up; whoever stands first is called."""
        self._turns.remove(turn)
        self._call()

    def _queue(self, turn: T) -> T:
        self._turns.append(turn)
        self._call()
        return turn

    def _call(self) -> None:
        if self._turns:
            self._turns[0].came()
