"""What the state store holds of the sessions that are open here, and which of them have to be written."""

from __future__ import annotations

from dataclasses import dataclass

from ..sessions.session import Session


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """The state of one session in the store."""

    epoch: int = 0  # 0: none
    frames: int = 0
    bytes: int = 0


class StoredVersions:
    """One `StoredVersion` for each session that the store holds. Named and resumable sessions have to be stored."""

    def __init__(self) -> None:
        self._versions: dict[Session, StoredVersion] = {}
        self._resumable: set[Session] = set()

    def __len__(self) -> int:
        """The number of sessions that are stored or resumable."""
        return len(self._versions.keys() | self._resumable)

    def __contains__(self, session: Session) -> bool:
        """The store holds a state of the session."""
        return session in self._versions

    def of(self, session: Session) -> StoredVersion:
        """What the store holds of the session, as far as this server knows."""
        return self._versions.get(session, StoredVersion())

    def record(self, session: Session, version: StoredVersion) -> None:
        """The store holds this version now."""
        self._versions[session] = version

    def make_resumable(self, session: Session) -> None:
        """A resume token was issued: the session has to be stored even without a name."""
        if not session.named:
            self._resumable.add(session)

    def is_resumable(self, session: Session) -> bool:
        """The session has no name, but a resume token."""
        return session in self._resumable

    def has_changed(self, session: Session) -> bool:
        """The session has learnt something since its last write."""
        version = self.of(session)
        return (session.frames, session.bytes) != (version.frames, version.bytes)

    def is_due(self, session: Session) -> bool:
        """The session has changed and has to be stored."""
        return self.has_changed(session) and (session.named or session in self._resumable)

    def drop(self, session: Session) -> None:
        """Another server has the session now; it stays resumable."""
        self._versions.pop(session, None)

    def release(self, session: Session) -> None:
        """The session is no longer open here."""
        self.drop(session)
        self._resumable.discard(session)
