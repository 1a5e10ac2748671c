"""What is due in the store, and what is known of it."""

from __future__ import annotations

from tta_service.serving.persistence.versions import Mark, Marks
from tta_service.serving.sessions.accounting import Ledger
from tta_service.serving.sessions.session import Session


def session(named: bool = True, frames: int = 0) -> Session:
    made = Session("ann", "cam", named, 0.0, 0.0, Ledger())
    made.frames = frames
    return made


def test_a_named_session_is_due_once_it_has_learnt_something():
    marks, mine = Marks(), session()
    assert not marks.due(mine) and marks.of(mine) == Mark()
    mine.frames = 2
    assert marks.due(mine) and mine not in marks
    marks.note(mine, Mark(epoch=3, frames=2))
    assert not marks.due(mine) and mine in marks and marks.of(mine).epoch == 3
    mine.frames = 3
    assert marks.due(mine)


def test_a_nameless_one_only_when_it_was_promised():
    marks, nameless, named = Marks(), session(named=False, frames=1), session(frames=1)
    assert marks.changed(nameless) and not marks.due(nameless)
    marks.promise(nameless)
    marks.promise(named)
    assert marks.due(nameless) and marks.promised(nameless) and not marks.promised(named)


def test_nothing_is_kept_of_whom_one_parts_with():
    marks, mine = Marks(), session(named=False, frames=1)
    marks.promise(mine)
    marks.note(mine, Mark(1, 1))
    assert len(marks) == 1
    marks.drop(mine)
    assert mine not in marks and len(marks) == 1 and marks.due(mine)
    marks.part_with(mine)
    marks.part_with(mine)
    assert len(marks) == 0
