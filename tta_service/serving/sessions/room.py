"""Room for memories, lessons and questions, and what gives way when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from ...core.errors import MemoryFull
from ...core.lessons import Example, Question
from .eviction import candidates, choose, count_bytes
from .lesson_groups import LessonGroup
from .memory import MemoryAccounting, MemoryLimits
from .session import Session

Holder = Session | LessonGroup
Reason = Literal["client", "idle", "capacity", "bytes", "shutdown", "moved"]


class Room:
    """Keeps the limits. Recent pictures give way first, then questions of the same owner, then idle sessions.

    `sessions()` and `groups()` are the open ones, least recently used first; `evict(holders, reason)` closes some.
    """

    def __init__(
        self,
        limits: MemoryLimits,
        accounting: MemoryAccounting,
        sessions: Callable[[], Sequence[Session]],
        groups: Callable[[], Sequence[LessonGroup]],
        evict: Callable[[Iterable[Holder], Reason], None],
    ) -> None:
        self._limits, self._accounting = limits, accounting
        self._sessions, self._groups, self._evict = sessions, groups, evict

    def admit(self, holder: Holder, size: int) -> None:
        """Makes room for a new memory or lesson of `size` bytes. Raises `MemoryFull`."""
        limits, accounting, sessions, groups = self._limits, self._accounting, self._sessions(), self._groups()
        own = [holder] if isinstance(holder, Session) else []
        needed = holder.bytes + size - limits.session
        if needed > sum(session.questions.bytes for session in own):
            whose = "session" if own else "lesson group"
            raise MemoryFull(f"{size} bytes more do not fit: this {whose} has {holder.bytes} of {limits.session}")
        self._evict_questions(needed, own)
        owned = [session for session in sessions if session.owner == holder.owner]
        if (needed := (used := accounting.of_owner(holder.owner)) + size - limits.owner) > 0:
            refusal = f"{size} bytes more do not fit: your sessions and lesson groups have {used} of {limits.owner}"
            needed -= self._evict_questions(needed, owned)
            holders = [*owned, *(group for group in groups if group.owner == holder.owner)]
            self._evict(choose(holders, count_bytes, needed, refusal, "sessions.owner_bytes"), "bytes")
        if (needed := accounting.total + accounting.recent + size - limits.total) > 0:
            refusal, needed = (
                f"{size} bytes more do not fit: all is in use",
                needed - self._forget_recent(needed),
            )
            needed -= self._evict_questions(needed, owned)
            chosen = candidates([*sessions, *groups], count_bytes, limits.total, holder.owner, size)
            self._evict(choose(chosen, count_bytes, needed, refusal), "bytes")

    def remember(self, session: Session, example: Example) -> None:
        """Remembers a picture for lessons, unless that takes room that memories need."""
        if not session.closed and self._accounting.total + self._accounting.recent < self._limits.total:
            session.recent.add(example)

    def ask(self, session: Session, question: Question) -> bool:
        """Asks a person. False: the session is closed, or there is no room."""
        if kept := self.keep_question(session, question):
            self._accounting.questions.count_asked(question.reason)
        return kept

    def keep_question(self, session: Session, question: Question) -> bool:
        """The same for one that was asked before. Only older questions of the session make room for it."""
        limits, accounting = self._limits, self._accounting
        owned, all = accounting.of_owner(session.owner), accounting.total
        free = min(limits.session - session.bytes, limits.owner - owned, limits.total - all)
        if session.closed or not session.questions.make_room(question, free):
            return False
        self._forget_recent(all + accounting.recent + session.questions.size_of(question) - limits.total)
        session.questions.put(question)
        return True

    def _forget_recent(self, needed: int) -> int:
        """Gives up what sessions remember of recent pictures until `needed` bytes are free; returns how many are."""
        before = self._accounting.recent
        for session in sorted(self._sessions(), key=self._owner_bytes, reverse=True):
            if before - self._accounting.recent < needed:
                session.recent.clear()
        return before - self._accounting.recent

    def _owner_bytes(self, session: Session) -> int:
        return self._accounting.of_owner(session.owner)

    def _evict_questions(self, needed: int, sessions: Sequence[Session]) -> int:
        """Evicts the oldest questions of these sessions until `needed` bytes are free; returns how many are."""
        before = self._accounting.total
        for session in sessions:
            while len(session.questions) and before - self._accounting.total < needed:
                session.questions.evict_oldest("bytes")
        return before - self._accounting.total
