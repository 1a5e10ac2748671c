"""Device health: a watchdog over the running batch, and a canary while the device is idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager

import torch

from ...core.errors import TTAError
from ...core.events import Canary, Observe, ignore
from ...core.moving_average import MovingAverage

OnChange = Callable[[bool, str], None]
OUT_OF_MEMORY_SIGNS = ("out of memory", "ALLOC_FAILED", "NOT_INITIALIZED")  # the last is cuBLAS without memory


class DeviceHealth:
    """Whether the device serves. It stops serving when a batch runs too long, three in a row raise, or features are
    not finite; it serves again after the next good forward. It never serves while warming up or draining.

    Too long is more than `factor` times the expected seconds, at least `patience` seconds. The batcher reports every
    forward. `run` checks every `tick` seconds, and sends a canary every `canary_every` seconds while idle;
    `observe` receives its outcome. `on_change(serving, reason)` is called at every change, `on_fatal(error)` after an
    error that this process cannot recover from. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        on_change: OnChange = lambda serving, reason: None,
        on_fatal: Callable[[BaseException], None] = lambda error: None,
        patience: float = 5.0,
        factor: float = 10.0,
        canary_every: float = 15.0,
        tick: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        observe: Observe = ignore,
    ) -> None:
        self._on_change, self._on_fatal, self._clock, self._observe = on_change, on_fatal, clock, observe
        self._patience, self._factor, self._canary_every, self._tick = patience, factor, canary_every, tick
        self.serving = False
        self.reason: str = "warming up"
        self._row_seconds = MovingAverage[float](5)
        self._failures = 0
        self._draining = False
        self._running: tuple[float, int] | None = None  # since, rows
        self._last_forward = self._ticked = self._last_good = clock()
        self._paused_since: float | None = None
        self._paused = 0.0  # seconds of the running batch in which the watchdog was paused
        self._canary: tuple[float, asyncio.Task[TTAError | None]] | None = None

    def ready(self, row_seconds: float) -> None:
        """Starts serving: the warm-up has succeeded and measured so many seconds per row."""
        self._row_seconds, self._last_forward = MovingAverage(5, row_seconds), self._clock()
        self._set_reason("")

    def drain(self) -> None:
        """Stops serving for good."""
        self._draining = True
        self._set_reason("draining")

    # -- reports of the batcher

    def batch_started(self, rows: int) -> None:
        """A batch of so many rows was given to the device."""
        self._running, self._paused = (self._clock(), rows), 0.0

    def batch_ended(self, finite: bool) -> None:
        """The batch returned; `finite`: all its features are finite."""
        now = self._clock()
        if self._running and finite and self.serving:  # the duration of a stuck batch predicts nothing
            since, rows = self._running
            self._row_seconds.add(max(0.0, now - since - self._paused) / rows)
        self._running, self._last_forward, self._failures = None, now, 0
        self._last_good = now if finite else self._last_good
        reason = "" if finite else "features are not finite"
        if reason != self.reason and self.reason != "warming up":
            self._set_reason(reason)

    def batch_failed(self, error: BaseException) -> None:
        """The batch raised."""
        self._running, self._last_forward = None, self._clock()
        self._failures += 1
        if is_sticky(error):
            self._set_reason("the device is lost")
            self._on_fatal(error)
        elif self._failures >= 3 and self.reason != "warming up":
            self._set_reason(f"{self._failures} forwards in a row failed")

    def batch_refused(self) -> None:
        """The tower refused the batch's reduction: that is no sign of a fault of the device."""
        self._running = None

    @contextmanager
    def pause_watchdog(self, at_most: float = 120.0) -> Generator[None]:
        """Wraps other work in the device lane (text), so that a batch queued behind it does not count as stuck.

        At most `at_most` seconds of it are forgiven. Runs in the lane's thread.
        """
        self._paused_since = since = self._clock()
        try:
            yield
        finally:
            self._paused_since = None
            began = max(since, self._running[0]) if self._running else since
            self._paused += min(at_most, self._clock() - began)

    # -- the watchdog

    def check(self) -> None:
        """Stops serving when the running batch or a canary takes too long. Called every tick."""
        for since, rows in filter(None, (self._running, self._pending_canary())):
            waited = self._clock() - since - self._paused - self._paused_now(since)
            if waited > max(self._patience, self._factor * rows * self._row_seconds.value):
                self._set_reason("a batch does not come back")

    async def run(self, canary: Callable[[], Awaitable[object]]) -> None:
        """Watches until it is cancelled. `canary` sends one row through the batcher; it is called while idle."""
        try:
            while True:
                await asyncio.sleep(self._tick)
                self._ticked = self._clock()
                self.check()
                idle = self._running is None and self._clock() - self._last_forward >= self._canary_every
                if idle and (self._canary is None or self._canary[1].done()):
                    self._canary = self._clock(), asyncio.create_task(self.probe(canary))
        finally:
            if self._canary:
                self._canary[1].cancel()

    async def probe(self, canary: Callable[[], Awaitable[object]]) -> TTAError | None:
        """Sends one canary. Returns the `TTAError` that it raised."""
        began, error = self._clock(), None
        try:
            await canary()
        except TTAError as failed:
            error = failed
        self._observe(Canary(self._clock() - began, failed=error is not None))
        return error

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds since the last tick of the event loop and the last good forward. May be read from any thread."""
        now = self._clock()
        return {"loop": now - self._ticked, "device": now - self._last_good}

    def _pending_canary(self) -> tuple[float, int] | None:
        return (self._canary[0], 1) if self._canary and not self._canary[1].done() else None

    def _paused_now(self, since: float, at_most: float = 120.0) -> float:
        return min(at_most, self._clock() - max(since, self._paused_since)) if self._paused_since is not None else 0.0

    def _set_reason(self, reason: str) -> None:
        reason = "draining" if self._draining else reason
        if reason != self.reason:
            self.serving, self.reason = not reason, reason
            self._on_change(self.serving, reason)


def is_sticky(error: BaseException) -> bool:
    """Whether every later call on this device will fail, too: a CUDA error that is not a lack of memory."""
    message = str(error)
    scarce = isinstance(error, torch.OutOfMemoryError) or any(word in message for word in OUT_OF_MEMORY_SIGNS)
    return not scarce and (isinstance(error, torch.AcceleratorError) or "CUDA error" in message)
