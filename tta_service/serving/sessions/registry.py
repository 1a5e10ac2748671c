"""The open sessions, and which of them are evicted when there is no room."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cachetools import FIFOCache

from ...core.errors import MemoryFull, TTAError, UnknownSession
from ...core.events import Closed, Observe
from .eviction import candidates, choose, count_one
from .group_entries import Change, GroupEntry
from .lesson_groups import GROUP, LessonGroup, LessonGroups
from .memory import MemoryAccounting, MemoryLimits
from .room import Reason, Room
from .session import Session, check_session_id
from .turns import ResetTurn

KEPT = 16  # one place in so many is for an owner who has none


class SessionRegistry:
    """Sessions by owner and id, least recently used first. Each is closed exactly once."""

    def __init__(
        self,
        idle: float,
        limits: MemoryLimits,
        observe: Observe,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._idle, self._limits, self._observe, self._clock, self._now = idle, limits, observe, clock, now
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self.accounting, self.leases = MemoryAccounting(), 0
        self._evicted: FIFOCache[tuple[str, str], int] = FIFOCache(limits.sessions)  # frames that they had seen
        self.groups = LessonGroups(idle, limits, self.accounting, clock)
        self.room = Room(
            limits, self.accounting, lambda: self.open_sessions, lambda: self.groups.open_groups, self._evict
        )
        self.on_close: Callable[[Session, Reason], None] = lambda session, reason: None  # for every one that ends
        # (sessions, what has changed for their memories): lessons that came from elsewhere than a teacher's call
        self.on_lessons: Callable[[Sequence[Session], Sequence[Change]], object] = lambda sessions, changes: None

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
        if (session := self.get(owner, id)) is None:
            raise UnknownSession(f"no session {id!r} of yours is open", "session_id")
        return session

    def obtain(self, owner: str, id: str, named: bool = True) -> Session:
        """The session of that id, opened when there is none. An empty id opens one that ends with its first use.

        So does one that is not `named`: a resume token knows its id, but the client gave it no name.

        Raises `BadRequest` for a malformed id, `MemoryFull` when too many are open and none can be evicted.
        """
        if session := self._sessions.get((owner, id)):
            self._sessions.move_to_end((owner, id))
            return session
        check_session_id(id)
        lost_frames = self._evicted.pop((owner, id), 0)
        self._make_place(owner)
        now, limits = self._clock(), self._limits
        id, named = id or secrets.token_hex(16), named and bool(id)
        session = Session(owner, id, named, now, now, self.accounting, limits.recent, limits.questions)
        session.lost_frames = lost_frames
        self._sessions[owner, session.id] = session
        return session

    def _make_place(self, owner: str) -> None:
        """Sessions of silent streams give way first; the last places are for owners who have none."""
        most, refusal = self._limits.sessions, "too many sessions are open"
        if quota := self._limits.owner_sessions:
            owned = [session for session in self.open_sessions if session.owner == owner]
            full = f"{len(owned)} sessions of yours are open, and none of them is idle"
            self._evict(choose(owned, count_one, len(owned) + 1 - quota, full, "limits.owner_sessions"), "capacity")
        if owner and len(self._sessions) >= most - most // KEPT and any(one == owner for one, _ in self._sessions):
            most, refusal = most - most // KEPT, f"{refusal}: the last places are for owners who have none"
        if (needed := len(self._sessions) + 1 - most) > 0:
            everyone = sorted(self.open_sessions, key=lambda session: not session.silent)
            chosen = candidates(everyone, count_one, most, owner, 1)
            self._evict(choose(chosen, count_one, min(needed, 1), refusal), "capacity")

    def obtain_group(self, owner: str, id: str) -> LessonGroup:
        """The lesson group of that name, opened when there is none. Raises as `obtain`."""
        if group := self.groups.get(owner, id):
            return group
        check_session_id(id, "lesson_group", GROUP)
        if len(self.groups) >= self._limits.groups:
            chosen = candidates(self.groups.open_groups, count_one, self._limits.groups, owner, 1)
            self._evict(choose(chosen, count_one, 1, "too many lesson groups are open"), "capacity")
        return self.groups.add(owner, id)

    def join(self, session: Session, id: str) -> None:
        """Moves the session into the group of that name, unless it is there, or the name is empty.

        Its own lessons become the group's; those of a group that it leaves stay there. Its memories begin anew, after
        the frames that came before. Raises as `obtain`.
        """
        if not id or (session.group and session.group.id == id):
            return
        group = self.obtain_group(session.owner, id)
        release = self.groups.hold(group)
        session.holds += 1  # it must not make room for its own lessons
        try:
            self.room.admit(group, session.own_lessons.bytes)
        except MemoryFull:
            release()
            raise
        finally:
            session.holds -= 1
        for queue in session.memories.values():
            if not queue.empty:
                queue.enqueue(self.hold(session, used=False), ResetTurn)
        self.merge_group(group, session.enter(group, release))

    def sessions_of(self, group: LessonGroup) -> list[Session]:
        """The open sessions of the group."""
        return [session for session in self.open_sessions if session.group is group]

    def merge_group(self, group: LessonGroup, entries: Iterable[GroupEntry]) -> None:
        """Adds entries from elsewhere to the group, and has all its open sessions learn what is new."""
        changes = [change for entry in entries if (change := group.merge(entry)) is not None]
        if changes:
            self.on_lessons(self.sessions_of(group), changes)

    def hold(self, session: Session, used: bool = True) -> Callable[[], None]:
        """Keeps the session open until the returned function is called; one without a name ends with its last hold.

        Not `used`: the owner did not ask for it, and the session's idle time goes on.
        """
        session.holds += 1
        return partial(self._release, session, used)

    def expire(self) -> None:
        """Evicts questions that have waited for too long, and closes sessions that have been idle for too long."""
        now = self._clock()
        for session in self.open_sessions:
            self.expire_questions(session)
            kept = len(session.own_lessons) or len(session.questions)
            lives = max(self._idle, self._limits.taught_idle) if kept else self._idle
            if session.evictable and now - session.last_used >= lives:
                self.close(session, "idle")
        self.groups.expire()

    def expire_questions(self, session: Session) -> None:
        """Evicts those of the session that have waited for too long."""
        session.questions.expire(self._now() - self._limits.question_age)

    def close(self, session: Session, reason: Reason, error: TTAError | None = None) -> None:
        """Closes the session unless it is closed; an open stream gets `error`. Frames in progress are answered."""
        if not session.closed:
            del self._sessions[session.owner, session.id]
            self.leases -= session.lease_lost is not None
            self.on_close(session, reason)
            session.end(error or UnknownSession(f"the session was closed ({reason})", "session_id"))
            self._observe(Closed(reason, session.frames))

    def forget_evicted(self, owner: str) -> None:
        """Nothing is known any more of sessions of that owner that were evicted."""
        for key in [key for key in self._evicted if key[0] == owner]:
            del self._evicted[key]

    def _release(self, session: Session, used: bool) -> None:
        session.holds -= 1
        session.last_used = self._clock() if used else session.last_used
        session.drop_empty()
        if not session.closed:
            if used:
                self._sessions.move_to_end((session.owner, session.id))
            if not (session.named and self._idle) and session.evictable:
                self.close(session, "idle" if session.named else "client")

    def _evict(self, evicted: Iterable[Session | LessonGroup], reason: Reason) -> None:
        for one in evicted:
            if isinstance(one, LessonGroup):
                self.groups.close(one)
                continue
            if one.named and one.bytes:
                self._evicted[one.owner, one.id] = one.frames
            self.close(
                one, reason, MemoryFull("others need this place, and the stream sent nothing") if one.silent else None
            )
