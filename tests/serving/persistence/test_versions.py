"""What is due in the store, and what is known of it."""

from __future__ import annotations

from tta_service.serving.persistence.versions import StoredVersion, StoredVersions
from tta_service.serving.sessions.accounting import MemoryAccounting
from tta_service.serving.sessions.session import Session


def session(named: bool = True, frames: int = 0) -> Session:
    made = Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting())
    made.frames = frames
    return made


def test_a_named_session_is_due_once_it_has_learnt_something():
    marks, mine = StoredVersions(), session()
    assert not marks.is_due(mine) and marks.of(mine) == StoredVersion()
    mine.frames = 2
    assert marks.is_due(mine) and mine not in marks
    marks.record(mine, StoredVersion(epoch=3, frames=2))
    assert not marks.is_due(mine) and mine in marks and marks.of(mine).epoch == 3
    mine.frames = 3
    assert marks.is_due(mine)


def test_a_nameless_one_only_when_it_was_promised():
    marks, nameless, named = StoredVersions(), session(named=False, frames=1), session(frames=1)
    assert marks.has_changed(nameless) and not marks.is_due(nameless)
    marks.make_resumable(nameless)
    marks.make_resumable(named)
    assert marks.is_due(nameless) and marks.is_resumable(nameless) and not marks.is_resumable(named)


def test_nothing_is_kept_of_whom_one_parts_with():
    marks, mine = StoredVersions(), session(named=False, frames=1)
    marks.make_resumable(mine)
    marks.record(mine, StoredVersion(1, 1))
    assert len(marks) == 1
    marks.drop(mine)
    assert mine not in marks and len(marks) == 1 and marks.is_due(mine)
    marks.release(mine)
    marks.release(mine)
    assert len(marks) == 0
