"""Sessions by owner and id: requests, streams and methods reach them here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ...core.errors import SessionTaken, TTAError
from ...core.events import Observe, ignore
from .lease import SessionLease
from .memory import MemoryLimits
from .registry import Reason, SessionRegistry
from .scope import open_scope
from .session import Session
from .session_info import SessionInfo
from .turns import ResetTurn
from .watch import rank_signs


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """For metrics: plain numbers that may be read from any thread."""

    sessions: int = 0
    streams: int = 0
    bytes: int = 0
    bytes_by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])
    questions: int = 0  # that wait
    questions_answered: int = 0
    questions_asked: Mapping[str, int] = field(default_factory=dict[str, int])  # by reason
    questions_evicted: Mapping[str, int] = field(default_factory=dict[str, int])  # by what was exceeded
    sets_checked: Mapping[str, int] = field(default_factory=dict[str, int])  # prediction sets, "held" or "missed"
    drawn_answers: Mapping[str, int] = field(default_factory=dict[str, int])  # named since, "right" or "wrong"
    drawn_confidence: float = 0.0  # the sum of theirs
    worst: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])  # by sign and rank


class Sessions:
    """Memories live in sessions, from one call to the next.

    A named session ends `idle` seconds after its last frame and its stream's end; 0: at once.
    """

    def __init__(
        self,
        idle: float = 300.0,
        limits: MemoryLimits | None = None,
        observe: Observe = ignore,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives monotonic seconds, `now` Unix seconds, which the age of questions is counted in."""
        self.idle = idle
        self.registry, self._clock = SessionRegistry(idle, limits or MemoryLimits(), observe, clock, now), clock
        self.scope = partial(open_scope, self.registry)  # of a request: its turns in its session, for a `with` block

    @property
    def counters(self) -> SessionCounters:
        """The present numbers; any thread may read them."""
        accounting = self.registry.accounting
        questions = accounting.questions
        return SessionCounters(
            len(self.registry),
            self.registry.leases,
            accounting.total,
            accounting.by_strategy,
            questions.waiting,
            questions.answered,
            questions.asked,
            questions.evicted,
            questions.sets_checked,
            questions.drawn_answers,
            questions.drawn_confidence,
            rank_signs(one.watch for one in self.registry.open_sessions),
        )

    def lease(self, owner: str, id: str = "", named: bool = True, group: str = "") -> SessionLease:
        """Gives the session to a stream, for a `with` block. An older stream on it ends with `SessionTaken`.

        A session with an empty id, or one that is not `named`, ends with the stream. Raises as `open_scope`.
        """
        session = self.registry.obtain(owner, id, named)
        self.registry.join(session, group)
        if session.lease_lost is not None:
            session.revoke_lease(SessionTaken("session taken over by a newer stream"))
            session.epoch += 1
        else:
            self.registry.leases += 1
        return SessionLease(session, partial(self._lease_ended, session))

    def get(self, owner: str, id: str) -> SessionInfo:
        """Raises `UnknownSession` when the owner has none of that id."""
        return self.registry.find(owner, id).describe(self._clock())

    def list(self, owner: str | None) -> tuple[SessionInfo, ...]:
        """The owner's sessions by id, or those of all owners."""
        owned = [session for session in self.registry.open_sessions if owner in (None, session.owner)]
        return tuple(one.describe(self._clock()) for one in sorted(owned, key=lambda one: (one.owner, one.id)))

    async def reset(self, owner: str, id: str) -> SessionInfo:
        """Discards all memories, each after the frames that came before, even when the caller no longer waits."""
        session = self.registry.find(owner, id)
        queues = list(session.memories.values())
        for reset in [queue.enqueue(self.registry.hold(session), ResetTurn) for queue in queues]:
            await reset.wait()
        return session.describe(self._clock())

    def close(self, owner: str, id: str) -> None:
        """Closes the session; frames in progress are still answered. Raises `UnknownSession`."""
        self.registry.close(self.registry.find(owner, id), "client")

    def close_all(self, reason: Reason = "shutdown") -> None:
        """Closes all sessions of all owners."""
        for session in self.registry.open_sessions:
            self.registry.close(session, reason)

    async def run(self, every: float = 5.0) -> None:
        """Closes idle sessions until cancelled: one task for all sessions instead of a timer for each."""
        while True:
            await asyncio.sleep(every)
            self.expire()

    def expire(self) -> None:
        """Closes the sessions that have been idle for too long."""
        self.registry.expire()

    def _lease_ended(self, session: Session, lost: asyncio.Future[TTAError]) -> None:
        if session.lease_lost is lost:  # otherwise a newer stream has the session, or it was closed
            session.lease_lost = None
            self.registry.leases -= 1
            self.registry.hold(session)()  # a stream's end is a use of its session
