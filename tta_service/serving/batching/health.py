"""Is the device alive? Health that tells the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager

import torch

from ...core.errors import TTAError
from ...core.events import Canary, Observe, ignore

OnChange = Callable[[bool, str], None]
OUT_OF_MEMORY_SIGNS = ("out of memory", "ALLOC_FAILED", "NOT_INITIALIZED")  # cuBLAS says the last when it finds no room


class DeviceHealth:
    """Serving from a forward that ended well until one runs ten times too long, three in a row raise, or features are
    not finite; again after the next that ends well. Never while warming up or draining.

    The batcher reports every forward. `run` looks at the clock every `tick` seconds and sends a canary through an idle
    house every `canary_every` seconds, and tells `observe` how it fared. `on_change(serving, reason)` hears every
    change, `on_fatal(error)` of an error that this process cannot recover from.
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
        self._row_seconds = 0.0
        self._failures = 0
        self._draining = False
        self._running: tuple[float, int] | None = None  # since, rows
        self._last_forward = self._ticked = self._last_good = clock()
        self._paused_since: float | None = None
        self._paused = 0.0  # seconds of the running batch that went to text
        self._canary: tuple[float, asyncio.Task[TTAError | None]] | None = None

    def ready(self, row_seconds: float) -> None:
        """The warm-up ended well and measured this many seconds per row."""
        self._row_seconds, self._last_forward = row_seconds, self._clock()
        self._set_reason("")

    def drain(self) -> None:
        """Not serving from now on."""
        self._draining = True
        self._set_reason("draining")

    # -- what the batcher reports

    def batch_started(self, rows: int) -> None:
        """A batch was handed to the device."""
        self._running, self._paused = (self._clock(), rows), 0.0

    def batch_ended(self, finite: bool) -> None:
        """It came back; `finite`: every feature of it is."""
        now = self._clock()
        if self._running and finite and self.serving:  # what was stuck says nothing about the next one
            since, rows = self._running
            seconds = max(0.0, now - since - self._paused) / rows
            self._row_seconds = 0.8 * self._row_seconds + 0.2 * seconds if self._row_seconds else seconds
        self._running, self._last_forward, self._failures = None, now, 0
        self._last_good = now if finite else self._last_good
        if self.reason != "warming up":
            self._set_reason("" if finite else "features are not finite")

    def batch_failed(self, error: BaseException) -> None:
        """It raised."""
        self._running, self._last_forward = None, self._clock()
        self._failures += 1
        if is_sticky(error):
            self._set_reason("the device is lost")
            self._on_fatal(error)
        elif self._failures >= 3 and self.reason != "warming up":
            self._set_reason(f"{self._failures} forwards in a row failed")

    def batch_refused(self) -> None:
        """The tower does not do what was asked: that says nothing about the device."""
        self._running = None

    @contextmanager
    def pause_watchdog(self, at_most: float = 120.0) -> Generator[None]:
        """Around other work in the device lane (text): a batch behind it is not stuck, for `at_most` seconds."""
        self._paused_since = since = self._clock()
        try:
            yield
        finally:
            self._paused_since = None
            began = max(since, self._running[0]) if self._running else since
            self._paused += min(at_most, self._clock() - began)

    # -- what the clock says

    def check(self) -> None:
        """Stuck? Called every tick."""
        for since, rows in filter(None, (self._running, self._pending_canary())):
            waited = self._clock() - since - self._paused - self._paused_now(since)
            if waited > max(self._patience, self._factor * rows * self._row_seconds):
                self._set_reason("a batch does not come back")

    async def run(self, canary: Callable[[], Awaitable[object]]) -> None:
        """Watches for ever. `canary` sends one row through the batcher; an idle house gets one every now and then."""
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
        """One canary. Returns what it raised."""
        began, error = self._clock(), None
        try:
            await canary()
        except TTAError as failed:
            error = failed
        self._observe(Canary(self._clock() - began, failed=error is not None))
        return error

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds since the event loop and the device last did their work. May be read from any thread."""
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
    """No later call on this device can succeed: a CUDA error that is not a lack of memory."""
    message = str(error)
    scarce = isinstance(error, torch.OutOfMemoryError) or any(word in message for word in OUT_OF_MEMORY_SIGNS)
    return not scarce and (isinstance(error, torch.AcceleratorError) or "CUDA error" in message)
