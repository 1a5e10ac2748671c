"""The turns at one memory, in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .memory import MemorySlot
from .turns import ResetTurn, Turn

T = TypeVar("T", bound=Turn)


class TurnQueue:
    """One memory and the frames that want it; only the turn that stands first touches it."""

    def __init__(self, slot: MemorySlot) -> None:
        self.slot = slot
        self._turns: deque[Turn] = deque()

    @property
    def empty(self) -> bool:
        """Nothing is kept, nothing is left to tell, and nobody waits."""
        return self.slot.empty and not self._turns

    def turn(self, on_over: Callable[[], None]) -> Turn:
        """A place at the end of the queue; `on_over` is called once, when it has been given up."""
        return self._append(Turn, on_over)

    def reset(self, on_over: Callable[[], None]) -> ResetTurn:
        """Like a frame that makes the memory forget; nobody has to wait for it."""
        return self._append(ResetTurn, on_over)

    def _append(self, make: type[T], on_over: Callable[[], None]) -> T:
        def end() -> None:
            self._turns.remove(turn)
            self._start_first()
            on_over()

        turn = make(self.slot, end)
        self._turns.append(turn)
        self._start_first()
        return turn

    def _start_first(self) -> None:
        """Whoever stands first is called."""
        if self._turns:
            self._turns[0].start()
