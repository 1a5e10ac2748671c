"""What a snapshot holds of a session, and the session that it becomes on this server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import SessionInUse
from ...core.labels import LabelSet
from ...core.lessons import Lesson, Question
from ...core.memory import nbytes
from ..sessions.lessons import LessonBook
from ..sessions.memory import MemoryKey
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session
from ..sessions.stored_version import StoredVersion
from .memory_codec import MemoryImage, bring_up_to_date
from .trust_codec import decode_trust


@dataclass(frozen=True, slots=True, eq=False)
class SessionImage:
    """What a snapshot holds."""

    header: Mapping[str, Any]
    memories: list[MemoryImage]
    dropped: list[tuple[MemoryKey, LabelSet]]  # memories of another model or version
    lessons: list[Lesson]
    questions: list[Question]  # those for which there is room

    def install(self, registry: SessionRegistry, owner: str, epoch: int, named: bool) -> Session:
        """The session, open here in place of one of the same id.

        Raises `SessionInUse` and `MemoryFull`; then that one is still there.
        """
        header, id = self.header, str(self.header["session"])
        older = registry.get(owner, id)
        if older is not None and not older.evictable:
            raise SessionInUse(f"session {id!r} is in use; it is replaced only while it rests", "session_id")
        self._make_room(registry, owner, older)
        if older is not None:
            older.stored = StoredVersion()  # its record stays until the restored session is written over it
            registry.close(older, "client")
        session = registry.obtain(owner, id, named)
        session.holds += 1  # it cannot be evicted to make room for itself
        try:
            session.restore(epoch, header["frames"], header["last_frame_id"])
            session.own_lessons.last = header["lessons"]["last"] if self.lessons else 0
            for lesson in self.lessons:
                session.own_lessons.put(lesson)
            registry.join(session, header.get("group", ""))
            decode_trust(header, session)
            for memory in self.memories:
                slot = session.queue(memory.key, memory.labels).slot
                slot.store(memory.memory, nbytes(memory.memory))
                slot.learnt = session.lessons.last
            for question in self.questions:
                registry.room.keep_question(session, question)
            for key, labels in self.dropped:
                session.queue(key, labels).slot.report_reset()
            if session.group:
                bring_up_to_date(registry, session, session.group, header["learnt"], header.get("sites", []))
        except Exception:
            registry.close(session, "client")  # half a session is not worth storing
            raise
        finally:
            session.holds -= 1  # unlike the end of a hold, this does not close a session without a name
        return session

    def _make_room(self, registry: SessionRegistry, owner: str, older: Session | None) -> None:
        """Makes room for all of it, with the `older` session counted as if it were closed. Raises `MemoryFull`."""
        book, accounting = LessonBook(lambda by: None), registry.accounting
        for lesson in self.lessons:
            book.put(lesson)
        newer = Session(owner, "", True, 0.0, 0.0, accounting)
        older = older or newer
        older.holds += 1  # it makes room only by its end
        size = older.bytes  # by then it may have fewer questions
        accounting.change(owner, "lessons", -size)
        try:
            registry.room.admit(newer, book.bytes + sum(nbytes(one.memory) for one in self.memories))
            if group := self.header.get("group"):
                registry.room.admit(registry.obtain_group(owner, group), book.bytes)
        finally:
            accounting.change(owner, "lessons", size)
            older.holds -= 1
