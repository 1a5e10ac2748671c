"""Who remembers what, and for how long."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from ..core.errors import BadRequest, MemoryFull, SessionTaken, TTAError, UnknownSession
from ..core.events import Closed, Observe, ignore
from ..core.request import Request
from ..core.strategy import Scope
from .ledger import Ledger, MemoryLimits
from .memories import Key
from .session import Session, SessionInfo
from .streams import Stream
from .visits import Visit

Reason = Literal["client", "idle", "capacity", "shutdown"]


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """For metrics: plain numbers that may be read from any thread."""

    sessions: int = 0
    streams: int = 0
    bytes: int = 0
    bytes_by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])


class Sessions:
    """Sessions by owner and id, least recently used first. A session is closed exactly once.

    `idle` seconds after its last frame and its stream's end a named session goes; 0: at once.
    """

    def __init__(
        self,
        idle: float = 300.0,
        limits: MemoryLimits | None = None,
        observe: Observe = ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle, self._limits, self._observe, self._clock = idle, limits or MemoryLimits(), observe, clock
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._ledger, self._streams = Ledger(), 0

    @property
    def counters(self) -> SessionCounters:
        """As they stand; may be called from any thread."""
        return SessionCounters(len(self._sessions), self._streams, self._ledger.total, self._ledger.by_strategy)

    # -- from the hallway and from streams

    def visit(self, request: Request) -> Visit:
        """Takes the request's turns, in one step; use it in a `with` block. An empty session id: one for this call.

        Raises `BadRequest` for a malformed id, `MemoryFull` when there are too many sessions.
        """
        session = self._obtain(request.owner, request.session)
        asked = [request.strategy] + ([request.cascade.to] if request.cascade else [])
        over = self._busy(session)
        turns = {
            strategy: session.kept(Key.of(request, strategy)).turn(self._busy(session))
            for strategy in dict.fromkeys(asked)
            if strategy.needs().memory is Scope.SESSION
        }
        return Visit(session, request, turns, partial(self._admit, session), over)

    def stream(self, owner: str, id: str = "") -> Stream:
        """Opens a stream on the session; use it in a `with` block. An older stream on it learns that it has lost it.

        An empty id makes a session that ends with the stream. Raises as `visit`.
        """
        session = self._obtain(owner, id)
        if session.lost is not None:
            session.lose(SessionTaken("a newer stream has taken the session over"))
            session.epoch += 1
        else:
            self._streams += 1
        return Stream(session, partial(self._stream_ended, session))

    # -- from the owner

    def get(self, owner: str, id: str) -> SessionInfo:
        """Raises `UnknownSession` when the owner has none of that id."""
        return self._find(owner, id).describe(self._clock())

    def list(self, owner: str) -> tuple[SessionInfo, ...]:
        """The owner's sessions by id."""
        mine = [session for session in self._sessions.values() if session.owner == owner]
        return tuple(session.describe(self._clock()) for session in sorted(mine, key=lambda session: session.id))

    async def reset(self, owner: str, id: str) -> SessionInfo:
        """Forgets all memories, each behind the frames that came before; even when the caller does not wait."""
        session = self._find(owner, id)
        for wipe in [kept.wipe(self._busy(session)) for kept in list(session.memories.values())]:
            await wipe.comes()
        return session.describe(self._clock())

    def close(self, owner: str, id: str) -> None:
        """Ends the session; frames under way are still answered. `UnknownSession` when there is none."""
        self._close(self._find(owner, id), "client")

    def close_all(self, reason: Reason = "shutdown") -> None:
        """Ends all sessions of all owners."""
        for session in list(self._sessions.values()):
            self._close(session, reason)

    # -- from the clock

    async def run(self, every: float = 5.0) -> None:
        """Sweeps for ever: one task for all sessions, no timer for any of them."""
        while True:
            await asyncio.sleep(every)
            self.expire()

    def expire(self) -> None:
        """Ends what has been idle for too long."""
        now = self._clock()
        for session in [session for session in self._sessions.values() if session.resting]:
            if now - session.touched >= self._idle:
                self._close(session, "idle")

    # -- inside

    def _find(self, owner: str, id: str) -> Session:
        session = self._sessions.get((owner, id))
        if session is None:
            raise UnknownSession(f"no session {id!r} of yours is open", "session_id")
        return session

    def _obtain(self, owner: str, id: str) -> Session:
        if id and not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", id):
            raise BadRequest("a session id is up to 128 of the characters A-Z a-z 0-9 . _ : -", "session_id")
        if session := self._sessions.get((owner, id)):
            self._sessions.move_to_end((owner, id))
            return session
        if len(self._sessions) >= self._limits.sessions:
            self._evict(1, lambda session: 1, list(self._sessions.values()), "too many sessions are open")
        now = self._clock()
        session = Session(owner, id or secrets.token_hex(16), bool(id), now, now, self._ledger)
        self._sessions[owner, session.id] = session
        return session

    def _busy(self, session: Session) -> Callable[[], None]:
        """Something is under way; the session must stay until what is returned has been called."""
        session.busy += 1

        def over() -> None:
            session.busy -= 1
            self._rest(session)

        return over

    def _rest(self, session: Session) -> None:
        session.touched = self._clock()
        session.tidy()
        if not session.closed:
            self._sessions.move_to_end((session.owner, session.id))
            if session.resting and not (session.named and self._idle):
                self._close(session, "idle" if session.named else "client")

    def _stream_ended(self, session: Session, lost: asyncio.Future[TTAError]) -> None:
        if session.lost is lost:  # else a newer stream has it, or it was closed
            session.lost = None
            self._streams -= 1
            self._rest(session)

    def _close(self, session: Session, reason: Reason) -> None:
        if not session.closed:
            del self._sessions[session.owner, session.id]
            self._streams -= session.lost is not None
            session.end(UnknownSession(f"the session was closed ({reason})", "session_id"))
            self._observe(Closed(reason, session.frames))

    def _admit(self, session: Session, size: int) -> None:
        """Room for a new memory of `size` bytes, or `MemoryFull`."""
        limits, books = self._limits, self._ledger
        if session.bytes + size > limits.session:
            raise MemoryFull(f"a memory of {size} bytes is over this session's limit of {limits.session}")
        if (needed := books.owner(session.owner) + size - limits.owner) > 0:
            mine = [other for other in self._sessions.values() if other.owner == session.owner]
            self._evict(needed, lambda other: other.bytes, mine, f"a memory of {size} bytes is over your limit")
        if (needed := books.total + size - limits.total) > 0:
            everyone = list(self._sessions.values())
            self._evict(needed, lambda other: other.bytes, everyone, f"no room for a memory of {size} bytes")

    def _evict(self, needed: int, weigh: Callable[[Session], int], among: Iterable[Session], else_say: str) -> None:
        """Ends resting sessions, least recently used first, until `needed` is free; none if that is not enough."""
        going: list[Session] = []
        for session in among:
            if needed <= 0:
                break
            if session.resting and weigh(session):
                going.append(session)
                needed -= weigh(session)
        if needed > 0:
            raise MemoryFull(else_say)
        for session in going:
            self._close(session, "capacity")
