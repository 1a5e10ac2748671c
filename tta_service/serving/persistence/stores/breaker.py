"""A circuit breaker: what is slow or gone costs its callers one time limit, and from then on nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from ....core.errors import NotReady
from .faults import describe

T = TypeVar("T")
PAUSE, PROBE = 1.0, 0.5  # seconds between two probes, and for one
QUIET = 60.0  # seconds without a warning, after which the next failure is news
log = logging.getLogger(__name__)


class CircuitBreaker:
    """While `probe()` fails, every call fails at once. Calls and probes raise `NotReady`, or take too long."""

    def __init__(self, probe: Callable[[], Awaitable[object]], pause: float = PAUSE) -> None:
        self._probe, self._pause = probe, pause
        self._examining: asyncio.Task[None] | None = None
        self.is_open, self.failures = False, 0
        self._warned_at = -QUIET

    async def call(self, work: Callable[[], Awaitable[T]], limit: float) -> T:
        """The result of `work()`, which may take `limit` seconds. Raises `NotReady`, and what `work` raises."""
        if self.is_open:
            raise NotReady("the state store does not answer")
        try:
            return await asyncio.wait_for(work(), limit)
        except TimeoutError:
            late = NotReady(f"the state store does not answer: it took more than {limit:g} s")
            self._on_failure(late)
            raise late from None
        except NotReady as error:
            self._on_failure(error)
            raise

    def warn(self, consequence: str, error: NotReady) -> None:
        """Says in the log what follows from a failure, unless the log has one of the same outage."""
        if not self.is_open and time.monotonic() - self._warned_at > QUIET:
            log.warning("%s: %s", consequence, describe(error))
        self._warned_at = time.monotonic()

    def close(self) -> None:
        """Ends the probes."""
        if self._examining is not None:
            self._examining.cancel()

    def _on_failure(self, error: NotReady) -> None:
        self.failures += 1
        if self._examining is None:
            self._examining = asyncio.create_task(self._examine(describe(error)))

    async def _examine(self, reason: str) -> None:
        """Opens unless a probe works, until one does: that one call has failed may have other causes."""
        if not await self._works():
            self.is_open = True
            log.warning("the state store does not answer, and sessions go on without it: %s", reason)
            await asyncio.sleep(self._pause)
            while not await self._works():  # noqa: ASYNC110 - the store announces nothing
                await asyncio.sleep(self._pause)
            self.is_open = False
            log.warning("the state store answers again")
        self._examining = None

    async def _works(self) -> bool:
        with suppress(TimeoutError, NotReady):
            await asyncio.wait_for(self._probe(), PROBE)
            return True
        return False
