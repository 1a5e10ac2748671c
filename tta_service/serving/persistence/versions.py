"""What the state store holds of the sessions that are open here, and of which ones it is to hold anything."""

from __future__ import annotations

from dataclasses import dataclass

from ..sessions.session import Session


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """How far the store is with one session."""

    epoch: int = 0  # 0: it holds nothing
    frames: int = 0
    bytes: int = 0


class StoredVersions:
    """One for each session that the store knows of; sessions with a name of their own are to be held there."""

    def __init__(self) -> None:
        self._versions: dict[Session, StoredVersion] = {}
        self._resumable: set[Session] = set()

    def __len__(self) -> int:
        """Sessions that anything is known of."""
        return len(self._versions.keys() | self._resumable)

    def __contains__(self, session: Session) -> bool:
        """The store holds something of it."""
        return session in self._versions

    def of(self, session: Session) -> StoredVersion:
        return self._versions.get(session, StoredVersion())

    def record(self, session: Session, version: StoredVersion) -> None:
        """So far is the store now."""
        self._versions[session] = version

    def make_resumable(self, session: Session) -> None:
        """A resume token is to bring it back, though it has no name."""
        if not session.named:
            self._resumable.add(session)

    def is_resumable(self, session: Session) -> bool:
        return session in self._resumable

    def has_changed(self, session: Session) -> bool:
        """It has learnt something that the store does not know."""
        version = self.of(session)
        return (session.frames, session.bytes) != (version.frames, version.bytes)

    def is_due(self, session: Session) -> bool:
        """And the store is to know it."""
        return self.has_changed(session) and (session.named or session in self._resumable)

    def drop(self, session: Session) -> None:
        """It is another server's now, but still to be held there."""
        self._versions.pop(session, None)

    def release(self, session: Session) -> None:
        """It is no longer open here."""
        self.drop(session)
        self._resumable.discard(session)
