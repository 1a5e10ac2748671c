"""Which sessions have to be written."""

from __future__ import annotations

from tta_service.serving.persistence.write_behind import has_changed, is_due
from tta_service.serving.sessions.memory import MemoryAccounting
from tta_service.serving.sessions.session import Session


def make_session(named: bool = True) -> Session:
    return Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting())


def test_a_named_session_is_due_once_it_has_learnt_something():
    session = make_session()
    assert not is_due(session) and session.stored.epoch == 0
    session.frames = 2
    assert is_due(session)
    session.stored.record(3, 2, 0)
    assert not is_due(session) and session.stored.epoch == 3
    session.frames = 3
    assert is_due(session)


def test_an_unnamed_session_is_due_only_when_it_is_resumable():
    session = make_session(named=False)
    session.frames = 1
    assert has_changed(session) and not is_due(session)
    session.stored.resumable = True
    assert is_due(session)
