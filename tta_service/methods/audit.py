"""What a call changes, as an event for the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..core.events import Audited, Observe
from ..wire.identity import current_caller

MayChange = Callable[[], Awaitable[None]]


async def allow() -> None:
    """Nothing keeps a call from a change."""


@dataclass(frozen=True, slots=True)
class Audit:
    """For the audit log. `may_change()` raises `NotReady` while there must be one and cannot."""

    observe: Observe
    may_change: MayChange = allow

    @asynccontextmanager
    async def change(self, action: str, **about: Any) -> AsyncGenerator[dict[str, Any]]:
        """The block does this for the caller of now. It may add to `about`, JSON without a picture or a secret.

        Of a block that fails nothing is recorded; one whose caller waits no longer may have made the change all the
        same, and is recorded as not `answered`. Raises as `may_change`.
        """
        await self.may_change()
        try:
            yield about
        except asyncio.CancelledError:
            self.record(action, **about, answered=False)
            raise
        self.record(action, **about)

    def record(self, action: str, **about: Any) -> None:
        """The caller of now has done this."""
        caller = current_caller()
        self.observe(Audited(action, caller.owner, caller.key, about))
