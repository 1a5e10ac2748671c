"""Which sessions have to be written, and what is known of the store."""

from __future__ import annotations

from tta_service.serving.persistence.versions import StoredVersion, StoredVersions
from tta_service.serving.sessions.accounting import MemoryAccounting
from tta_service.serving.sessions.session import Session


def make_session(named: bool = True, frames: int = 0) -> Session:
    session = Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting())
    session.frames = frames
    return session


def test_a_named_session_is_due_once_it_has_learnt_something():
    versions, changing = StoredVersions(), make_session()
    assert not versions.is_due(changing) and versions.of(changing) == StoredVersion()
    changing.frames = 2
    assert versions.is_due(changing) and changing not in versions
    versions.record(changing, StoredVersion(epoch=3, frames=2))
    assert not versions.is_due(changing) and changing in versions and versions.of(changing).epoch == 3
    changing.frames = 3
    assert versions.is_due(changing)


def test_an_unnamed_session_is_due_only_when_it_is_resumable():
    versions, unnamed, named = StoredVersions(), make_session(named=False, frames=1), make_session(frames=1)
    assert versions.has_changed(unnamed) and not versions.is_due(unnamed)
    versions.make_resumable(unnamed)
    versions.make_resumable(named)
    assert versions.is_due(unnamed) and versions.is_resumable(unnamed) and not versions.is_resumable(named)


def test_a_released_session_is_forgotten():
    versions, changing = StoredVersions(), make_session(named=False, frames=1)
    versions.make_resumable(changing)
    versions.record(changing, StoredVersion(1, 1))
    assert len(versions) == 1
    versions.drop(changing)
    assert changing not in versions and len(versions) == 1 and versions.is_due(changing)
    versions.release(changing)
    versions.release(changing)
    assert len(versions) == 0
