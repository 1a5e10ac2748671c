"""Long work in a lane, a step at a time: others get in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar, cast

from .executors import run

T = TypeVar("T")


class Steps(Generic[T]):
    """What `work()` gives, or what the generator that it gives returns; the lane sees each step alone."""

    def __init__(
        self,
        work: Callable[[], T | Generator[None, None, T]],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._work, self._around = work, around
        self._going: Generator[None, None, T] | None = None
        self._made: list[T] = []
        self.seconds = 0.0  # in the lane

    async def done(self, lane: Executor) -> T:
        """Raises what a step raises."""
        while not self._made:
            await run(lane, self._step)
        return self._made[0]

    def _step(self) -> None:
        began = time.monotonic()
        with self._around():
            try:
                self._go_on()
            except StopIteration as end:
                self._made.append(cast(T, end.value))
        self.seconds += time.monotonic() - began

    def _go_on(self) -> None:
        if self._going is None:
            given = self._work()
            if not isinstance(given, Generator):
                return self._made.append(given)
            self._going = cast("Generator[None, None, T]", given)
        next(self._going)
