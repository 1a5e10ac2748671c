"""The turns at one memory, in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .memory import Kept
from .turns import Turn, Wipe

T = TypeVar("T", bound=Turn)


class TurnQueue:
    """One memory and the frames that want it; only the turn that stands first touches it."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._turns: deque[Turn] = deque()

    @property
    def empty(self) -> bool:
        """Nothing is kept, nothing is left to tell, and nobody waits."""
        return self.kept.empty and not self._turns

    def turn(self, over: Callable[[], None]) -> Turn:
        """A place at the end of the queue; `over` is called once, when it has been given up."""
        return self._append(Turn, over)

    def wipe(self, over: Callable[[], None]) -> Wipe:
        """Like a frame that makes the memory forget; nobody has to wait for it."""
        return self._append(Wipe, over)

    def _append(self, make: type[T], over: Callable[[], None]) -> T:
        def ended() -> None:
            self._turns.remove(turn)
            self._call()
            over()

        turn = make(self.kept, ended)
        self._turns.append(turn)
        self._call()
        return turn

    def _call(self) -> None:
        """Whoever stands first is called."""
        if self._turns:
            self._turns[0].came()
