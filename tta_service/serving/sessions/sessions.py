"""Who remembers what, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ...core.errors import SessionTaken, TTAError
from ...core.events import Observe, ignore
from ...core.request import Request
from ...core.strategy import Scope
from .accounting import MemoryLimits
from .lease import Stream
from .memory import Key
from .registry import Reason, Register
from .scope import Visit
from .session import Session, SessionInfo


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """For metrics: plain numbers that may be read from any thread."""

    sessions: int = 0
    streams: int = 0
    bytes: int = 0
    bytes_by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])


class Sessions:
    """An owner's sessions keep memories apart, and alive between calls.

    `idle` seconds after its last frame and its stream's end a named session ends; 0: at once.
    """

    def __init__(
        self,
        idle: float = 300.0,
        limits: MemoryLimits | None = None,
        observe: Observe = ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.register, self._clock = Register(idle, limits or MemoryLimits(), observe, clock), clock

    @property
    def counters(self) -> SessionCounters:
        """As they stand; may be called from any thread."""
        books = self.register.ledger
        return SessionCounters(len(self.register), self.register.streams, books.total, books.by_strategy)

    def visit(self, request: Request) -> Visit:
        """Takes the request's turns, in one step; use it in a `with` block. An empty session id: one for this call.

        Raises `BadRequest` for a malformed id, `MemoryFull` when there are too many sessions.
        """
        asked = [request.strategy] + ([request.cascade.to] if request.cascade else [])
        remembering = [strategy for strategy in asked if strategy.needs().memory is Scope.SESSION]
        session = self.register.obtain(request.owner, request.session)
        over = self.register.busy(session)
        turns = {
            strategy: session.queue(Key.of(request, strategy), request.labels).turn(self.register.busy(session))
            for strategy in remembering
        }
        return Visit(session, request, turns, partial(self.register.admit, session), over)

    def stream(self, owner: str, id: str = "", named: bool = True) -> Stream:
        """Opens a stream on the session; use it in a `with` block. An older stream on it learns that it has lost it.

        An empty id makes a session that ends with the stream, as does one that is not `named`. Raises as `visit`.
        """
        session = self.register.obtain(owner, id, named)
        if session.lost is not None:
            session.lose(SessionTaken("session taken over by a newer stream"))
            session.epoch += 1
        else:
            self.register.streams += 1
        return Stream(session, partial(self._stream_ended, session))

    def get(self, owner: str, id: str) -> SessionInfo:
        """Raises `UnknownSession` when the owner has none of that id."""
        return self.register.find(owner, id).describe(self._clock())

    def list(self, owner: str) -> tuple[SessionInfo, ...]:
        """The owner's sessions by id."""
        mine = [session for session in self.register.open if session.owner == owner]
        return tuple(session.describe(self._clock()) for session in sorted(mine, key=lambda session: session.id))

    async def reset(self, owner: str, id: str) -> SessionInfo:
        """Forgets all memories, each behind the frames that came before; even when the caller does not wait."""
        session = self.register.find(owner, id)
        for wipe in [queue.wipe(self.register.busy(session)) for queue in list(session.memories.values())]:
            await wipe.comes()
        return session.describe(self._clock())

    def close(self, owner: str, id: str) -> None:
        """Ends the session; frames under way are still answered. `UnknownSession` when there is none."""
        self.register.close(self.register.find(owner, id), "client")

    def close_all(self, reason: Reason = "shutdown") -> None:
        """Ends all sessions of all owners."""
        for session in self.register.open:
            self.register.close(session, reason)

    async def run(self, every: float = 5.0) -> None:
        """Sweeps for ever: one task for all sessions, no timer for any of them."""
        while True:
            await asyncio.sleep(every)
            self.expire()

    def expire(self) -> None:
        """Ends what has been idle for too long."""
        self.register.expire()

    def _stream_ended(self, session: Session, lost: asyncio.Future[TTAError]) -> None:
        if session.lost is lost:  # else a newer stream has it, or it was closed
            session.lost = None
            self.register.streams -= 1
            self.register.rest(session)
