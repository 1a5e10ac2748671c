"""A session held by one stream at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from ...core.errors import TTAError
from ...core.request import SessionStatus
from .session import Session


class SessionLease:
    """A stream's hold on its session, for the length of a `with` block."""

    def __init__(self, session: Session, on_end: Callable[[asyncio.Future[TTAError]], None]) -> None:
        self._session, self._on_end = session, on_end
        self._lost: asyncio.Future[TTAError] = asyncio.get_running_loop().create_future()
        session.lease_lost = self._lost

    @property
    def session(self) -> str:
        """The session's id, for `Request.session`; made up when the client gave none."""
        return self._session.id

    def status(self) -> SessionStatus:
        """The session as it stands, for the stream's first reply."""
        return self._session.status()

    async def wait_lost(self) -> TTAError:
        """Returns when a newer stream has taken the session (`SessionTaken`) or it was closed (`UnknownSession`)."""
        return await asyncio.shield(self._lost)

    def __enter__(self) -> SessionLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on_end(self._lost)
