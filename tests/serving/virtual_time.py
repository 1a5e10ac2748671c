"""Virtual time: work takes the seconds that it declares, whatever the machine."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from tta_service.serving.concurrency import Executors


class Clock:
    """Replaces `time.monotonic`. Work in a lane declares its seconds with `spend`."""

    def __init__(self, seed: int = 0, noise: float = 0.0, hiccups: float = 0.0) -> None:
        self.now, self._ahead = 1000.0, 0.0
        self._draw, self._noise, self._hiccups = random.Random(seed), noise, hiccups

    def monotonic(self) -> float:
        return self.now + self._ahead

    def spend(self, seconds: float) -> None:
        """Adds about so many seconds; a hiccup takes three times as many."""
        often = 3.0 if self._draw.random() < self._hiccups else 1.0
        self._ahead += seconds * often * math.exp(self._draw.gauss(0.0, self._noise))

    def spent(self, work: Callable[[], None]) -> float:
        """Runs the work and returns its seconds; the clock does not move yet."""
        work()
        seconds, self._ahead = self._ahead, 0.0
        return seconds


class Selector(selectors.DefaultSelector):
    """Moves the clock where the loop would sleep; waits only for threads."""

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
    """An executor of virtual threads: work begins when one is free and ends when its seconds have passed."""

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
        outcome: list[tuple[Callable[[Any], None], Any]] = []

        def working() -> None:
            try:
                outcome.append((future.set_result, work()))
            except BaseException as error:
                outcome.append((future.set_exception, error))

        def end() -> None:
            self._free += 1
            resolve, value = outcome[0]
            resolve(value)
            self._begin()

        seconds = self._clock.spent(working)
        self.busy_until = self._clock.now + seconds
        asyncio.get_running_loop().call_later(seconds, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to stop."""


def make_lanes(clock: Clock) -> Executors:
    return Executors(prepare=Lane(clock, 2), device=Lane(clock, 1), adapt=Lane(clock, 2), tune=Lane(clock, 1))


def make_runner(clock: Clock) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector(clock)))
