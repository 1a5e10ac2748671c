"""A stream's exclusive hold on its session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from ...core.errors import TTAError
from ...core.request import SessionStatus
from .session import Session


class SessionLease:
    """A stream's exclusive hold on its session, for the length of a `with` block."""

    def __init__(self, session: Session, on_end: Callable[[asyncio.Future[TTAError]], None]) -> None:
        self._session, self._on_end = session, on_end
        self._lost: asyncio.Future[TTAError] = asyncio.get_running_loop().create_future()
        session.lease_lost = self._lost

    @property
    def session(self) -> str:
        """The session's id, for `Request.session`; a random one when the client gave none."""
        return self._session.id

    def status(self) -> SessionStatus:
        """The session's present status, for the stream's first reply."""
        return self._session.status()

    async def wait_lost(self) -> TTAError:
        """Waits for the loss of the session and returns the reason.

        `SessionTaken`: a newer stream has it. `SessionMoved`, `NewerFormat`: another server has it. `UnknownSession`:
        it was closed.
        """
        return await asyncio.shield(self._lost)

    def __enter__(self) -> SessionLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on_end(self._lost)
