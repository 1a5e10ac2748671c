"""Lesson groups and the state store."""

from __future__ import annotations

from collections.abc import Sequence

from ..sessions.lesson_groups import KEY, Change, LessonGroup, name_of
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session


def bring_up_to_date(registry: SessionRegistry, session: Session, group: LessonGroup, learnt: Sequence[str]) -> None:
    """Memories that know words of these names begin anew if one of them holds no longer; else they learn the rest."""
    if any(name < group.names.get(name[:KEY], "") for name in learnt):
        for queue in session.memories.values():
            queue.slot.reset()
        return
    known = set(learnt)
    missed = [lesson for lesson in group.lessons if name_of(lesson) not in known]
    for queue in session.memories.values():
        queue.slot.missed = frozenset(lesson.number for lesson in missed)
    registry.on_lessons([session], [Change(None, lesson) for lesson in missed])
