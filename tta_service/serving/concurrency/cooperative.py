"""Long work in a lane, a step at a time: others get in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar, cast

from .executors import run

T = TypeVar("T")


class CooperativeTask(Generic[T]):
    """What `work()` gives, or what the generator that it gives returns; the lane sees each step alone."""

    def __init__(
        self,
        work: Callable[[], T | Generator[None, None, T]],
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._work, self._context = work, context
        self._generator: Generator[None, None, T] | None = None
        self._result: list[T] = []
        self.seconds = 0.0  # in the lane

    async def run(self, lane: Executor) -> T:
        """Raises what a step raises."""
        while not self._result:
            await run(lane, self._step)
        return self._result[0]

    def _step(self) -> None:
        began = time.monotonic()
        with self._context():
            try:
                self._advance()
            except StopIteration as end:
                self._result.append(cast(T, end.value))
        self.seconds += time.monotonic() - began

    def _advance(self) -> None:
        if self._generator is None:
            given = self._work()
            if not isinstance(given, Generator):
                return self._result.append(given)
            self._generator = cast("Generator[None, None, T]", given)
        next(self._generator)
