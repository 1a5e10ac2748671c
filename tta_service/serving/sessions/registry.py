"""The open sessions: who may have one, and which one has to go."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

from ...core.errors import BadRequest, MemoryFull, TTAError, UnknownSession
from ...core.events import Closed, Observe
from .accounting import MemoryAccounting, MemoryLimits
from .session import Session

Reason = Literal["client", "idle", "capacity", "bytes", "shutdown", "moved"]


class SessionRegistry:
    """Sessions by owner and id, least recently used first. Each is closed exactly once."""

    def __init__(self, idle: float, limits: MemoryLimits, observe: Observe, clock: Callable[[], float]) -> None:
        self._idle, self._limits, self._observe, self._clock = idle, limits, observe, clock
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self.accounting, self.leases = MemoryAccounting(), 0
        self.on_close: Callable[[Session, Reason], None] = lambda session, reason: None  # hears of every end

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def open_sessions(self) -> tuple[Session, ...]:
        """All of them, least recently used first."""
        return tuple(self._sessions.values())

    def get(self, owner: str, id: str) -> Session | None:
        """The owner's session of that id, if it is open."""
        return self._sessions.get((owner, id))

    def find(self, owner: str, id: str) -> Session:
        """Raises `UnknownSession` when the owner has none of that id."""
        session = self.get(owner, id)
        if session is None:
            raise UnknownSession(f"no session {id!r} of yours is open", "session_id")
        return session

    def obtain(self, owner: str, id: str, named: bool = True) -> Session:
        """The session of that id, opened when there is none; an empty id: a new one that ends with its first use.

        So does one that is not `named`, though a resume token knows its id.

        Raises `BadRequest` for a malformed id, `MemoryFull` when too many are open and none rests.
        """
        if id and not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", id):
            raise BadRequest("a session id is up to 128 of the characters A-Z a-z 0-9 . _ : -", "session_id")
        if session := self._sessions.get((owner, id)):
            self._sessions.move_to_end((owner, id))
            return session
        if len(self._sessions) >= self._limits.sessions:
            self._evict(1, lambda session: 1, self.open_sessions, "capacity", "too many sessions are open")
        now = self._clock()
        session = Session(owner, id or secrets.token_hex(16), named and bool(id), now, now, self.accounting)
        self._sessions[owner, session.id] = session
        return session

    def hold(self, session: Session, used: bool = True) -> Callable[[], None]:
        """Something is under way: the session must stay until what is returned has been called.

        Not `used`: its owner has nothing to do with it, and it is as idle as before.
        """
        session.holds += 1

        def on_done() -> None:
            session.holds -= 1
            self.release(session, used)

        return on_done

    def release(self, session: Session, used: bool = True) -> None:
        """Something has ended; a session that nothing else holds may end with it."""
        session.last_used = self._clock() if used else session.last_used
        session.drop_empty()
        if not session.closed:
            if used:
                self._sessions.move_to_end((session.owner, session.id))
            if session.evictable and not (session.named and self._idle):
                self.close(session, "idle" if session.named else "client")

    def expire(self) -> None:
        """Ends what has been idle for too long."""
        now = self._clock()
        for session in self.open_sessions:
            if session.evictable and now - session.last_used >= self._idle:
                self.close(session, "idle")

    def close(self, session: Session, reason: Reason, error: TTAError | None = None) -> None:
        """Ends it, unless it has ended; frames under way are still answered. An open stream is told the `error`."""
        if not session.closed:
            del self._sessions[session.owner, session.id]
            self.leases -= session.lease_lost is not None
            self.on_close(session, reason)
            session.end(error or UnknownSession(f"the session was closed ({reason})", "session_id"))
            self._observe(Closed(reason, session.frames))

    def admit(self, session: Session, size: int) -> None:
        """Room for a new memory of `size` bytes, or `MemoryFull`."""
        limits, accounting = self._limits, self.accounting
        if session.bytes + size > limits.session:
            raise MemoryFull(f"a memory of {size} bytes is over this session's limit of {limits.session}")
        if (needed := accounting.of_owner(session.owner) + size - limits.owner) > 0:
            mine = [other for other in self.open_sessions if other.owner == session.owner]
            self._evict(
                needed, lambda other: other.bytes, mine, "bytes", f"a memory of {size} bytes is over your limit"
            )
        if (needed := accounting.total + size - limits.total) > 0:
            self._evict(
                needed, lambda other: other.bytes, self.open_sessions, "bytes", f"no room for a memory of {size} bytes"
            )

    def _evict(
        self, needed: int, weigh: Callable[[Session], int], among: Iterable[Session], why: Reason, else_say: str
    ) -> None:
        """Ends resting sessions, least recently used first, until `needed` is free; none if that is not enough."""
        going: list[Session] = []
        for session in among:
            if needed <= 0:
                break
            if session.evictable and weigh(session):
                going.append(session)
                needed -= weigh(session)
        if needed > 0:
            raise MemoryFull(else_say)
        for session in going:
            self.close(session, why)
