"""A clock that nobody waits for: work takes the time that it says it takes, whatever machine runs it."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from tta_service.serving.concurrency.executors import Executors


class Clock:
    """Stands for `time.monotonic`. What runs in a lane says with `spend` how long it takes."""

    def __init__(self, seed: int = 0, noise: float = 0.0, hiccups: float = 0.0) -> None:
        self.now, self._ahead = 1000.0, 0.0
        self._draw, self._noise, self._hiccups = random.Random(seed), noise, hiccups

    def monotonic(self) -> float:
        return self.now + self._ahead

    def spend(self, seconds: float) -> None:
        """About so many, and now and then three times as many."""
        often = 3.0 if self._draw.random() < self._hiccups else 1.0
        self._ahead += seconds * often * math.exp(self._draw.gauss(0.0, self._noise))

    def spent(self, work: Callable[[], None]) -> float:
        """How long the work takes; for everybody else no time passes yet."""
        work()
        seconds, self._ahead = self._ahead, 0.0
        return seconds


class Selector(selectors.DefaultSelector):
    """Where the loop would sleep, time passes at once; only for threads it really waits."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._clock.now += timeout
        return ready


class Lane(Executor):
    """So many threads that are none: work begins when one is free, and ends when its time has passed."""

    def __init__(self, clock: Clock, threads: int) -> None:
        self._clock, self._free = clock, threads
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self.busy_until = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: fn(*args, **named)))
        self._begin()
        return future

    def _begin(self) -> None:
        while self._free and self._waiting:
            future, work = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._free -= 1
                self._work(future, work)

    def _work(self, future: Future[Any], work: Callable[[], Any]) -> None:
        said: list[tuple[Callable[[Any], None], Any]] = []

        def working() -> None:
            try:
                said.append((future.set_result, work()))
            except BaseException as error:
                said.append((future.set_exception, error))

        def over() -> None:
            self._free += 1
            tell, what = said[0]
            tell(what)
            self._begin()

        seconds = self._clock.spent(working)
        self.busy_until = self._clock.now + seconds
        asyncio.get_running_loop().call_later(seconds, over)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to stop."""


def lanes(clock: Clock) -> Executors:
    return Executors(prepare=Lane(clock, 2), device=Lane(clock, 1), adapt=Lane(clock, 2), tune=Lane(clock, 1))


def runner(clock: Clock) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector(clock)))
