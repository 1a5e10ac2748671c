"""Long work in a lane, in steps, so that other work runs in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar, cast

from .executors import run

T = TypeVar("T")


class CooperativeTask(Generic[T]):
    """Runs `work()`, which returns the result, or a generator that returns it: each step is submitted on its own.

    `context` surrounds every step, in the lane's thread.
    """

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
        """The result. Raises what a step raises."""
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
            result = self._work()
            if not isinstance(result, Generator):
                return self._result.append(result)
            self._generator = cast("Generator[None, None, T]", result)
        next(self._generator)
