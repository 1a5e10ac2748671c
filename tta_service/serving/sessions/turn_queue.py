"""The turns at one memory, in the order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .memory import MemorySlot
from .turns import ResetTurn, Turn

T = TypeVar("T", bound=Turn)


class TurnQueue:
    """One memory and the frames that wait for it. Only the first turn may touch the memory."""

    def __init__(self, slot: MemorySlot) -> None:
        self.slot = slot
        self._turns: deque[Turn] = deque()

    @property
    def empty(self) -> bool:
        """The slot is empty and no turn waits."""
        return self.slot.empty and not self._turns

    def turn(self, on_over: Callable[[], None]) -> Turn:
        """A place at the end of the queue; `on_over` is called once, when the turn is over."""
        return self._append(Turn, on_over)

    def reset(self, on_over: Callable[[], None]) -> ResetTurn:
        """A turn that discards the memory; it takes its place even when the caller does not wait."""
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
        if self._turns:
            self._turns[0].start()
