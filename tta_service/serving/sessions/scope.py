"""How a request and how a stream hold a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from ...core.errors import TTAError
from ...core.request import Request, SessionStatus
from ...core.strategy import Strategy
from .session import Session
from .turns import Turn


class SessionScope:
    """The turns of a request, all taken on admission. The end of the `with` block gives up those that are left.

    `admit(bytes)` makes room for a new memory, or raises `MemoryFull`; `on_exit` is called at the end of the block.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        turns: Mapping[Strategy[Any], Turn],
        admit: Callable[[int], None],
        on_exit: Callable[[], None] | None,
    ) -> None:
        self._session, self._request, self._turns, self._on_exit = session, request, turns, on_exit
        self.admit = admit
        self._status: SessionStatus | None = None

    def turn(self, strategy: Strategy[Any]) -> Turn | None:
        """The place in the queue of that strategy's memory; None for a strategy without a memory in the session."""
        return self._turns.get(strategy)

    def release_turns(self) -> None:
        """Gives up all turns: no memory changes through this request."""
        for turn in self._turns.values():
            turn.leave()

    def count_frame(self, anew: bool = False, seen: bool = True) -> SessionStatus:
        """The session's status for the answer. The first call counts the frame, whatever the number of strategies.

        `anew`: a memory began with it. Not `seen`: it was answered, but no memory has learnt from it.
        """
        if self._status is None:
            self._status = self._session.count_frame(self._request.frame_id if seen else None, anew)
        else:
            reset = self._status.memory_reset or anew
            self._status = replace(self._status, memory_bytes=self._session.bytes, memory_reset=reset)
        return self._status

    def __enter__(self) -> SessionScope:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release_turns()
        if self._on_exit is not None:
            self._on_exit()


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
