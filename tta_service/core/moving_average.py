"""A moving average, without tensors."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class MovingAverage(Generic[T]):
    """The exponential mean of numbers or arrays: of about the last `span` of them, in the beginning of all alike.

    `value` is the mean; 0 before the first number, unless one is given that stands for the past. `seen` counts the
    numbers up to `span`. For a rate they are amounts, each `over` some time, and `span` and `seen` are time, too.
    """

    def __init__(self, span: float, value: T | None = None) -> None:
        self.span, self.seen = span, 0.0 if value is None else span
        self.value: Any = 0.0 if value is None else value

    def add(self, value: T, over: float = 1.0) -> None:
        """Counts a value, or an amount that came about over so many units of time."""
        self.seen = min(self.seen + over, max(self.span, over))
        if self.seen:
            mean: Any = self.value
            self.value = mean + (value - mean * over) / self.seen
