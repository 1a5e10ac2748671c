"""A stream's exclusive hold on its session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from ...core.errors import BadRequest, TTAError
from ...core.request import SessionStatus
from .session import Session


class SessionLease:
    """A stream's exclusive hold on its session, for the length of a `with` block."""

    def __init__(self, session: Session, on_end: Callable[[asyncio.Future[TTAError]], None]) -> None:
        self._session, self._on_end = session, on_end
        loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[TTAError] = loop.create_future()
        self._begun: asyncio.Future[None] = loop.create_future()
        session.lease_lost, session.silent = self._lost, True

    @property
    def session(self) -> str:
        """The session's id, for `Request.session`; a random one when the client gave none."""
        return self._session.id

    def begin(self) -> None:
        """Record that the stream has sent a frame or a lesson: until then its session gives way to others."""
        if not self._begun.done():
            self._begun.set_result(None)
        if self._session.lease_lost is self._lost:
            self._session.silent = False

    def status(self) -> SessionStatus:
        """The session's present status, for the stream's first reply."""
        return self._session.status()

    async def wait_lost(self, patience: float) -> TTAError:
        """Waits for the loss of the session, or for `patience` seconds until the stream begins; returns the reason.

        `SessionTaken`: a newer stream has it. `SessionMoved`, `NewerFormat`: another server has it. `UnknownSession`:
        it was closed. `MemoryFull`: the stream was silent, and others needed the place. `BadRequest`: it did not begin.
        """
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait({self._lost, self._begun}, timeout=patience, return_when=first)
        if not done:
            return BadRequest(f"no frame came within {patience:g} s after the stream was opened", "frame")
        return await asyncio.shield(self._lost)

    def __enter__(self) -> SessionLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on_end(self._lost)
