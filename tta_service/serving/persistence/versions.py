"""What the state store holds of the sessions that are open here, and of which ones it is to hold anything."""

from __future__ import annotations

from dataclasses import dataclass

from ..sessions.session import Session


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the store is with one session."""

    epoch: int = 0  # 0: it holds nothing
    frames: int = 0
    bytes: int = 0


class Marks:
    """One for each session that the store knows of; sessions with a name of their own are to be held there."""

    def __init__(self) -> None:
        self._marks: dict[Session, Mark] = {}
        self._promised: set[Session] = set()

    def __len__(self) -> int:
        """Sessions that anything is known of."""
        return len(self._marks.keys() | self._promised)

    def __contains__(self, session: Session) -> bool:
        """The store holds something of it."""
        return session in self._marks

    def of(self, session: Session) -> Mark:
        return self._marks.get(session, Mark())

    def note(self, session: Session, mark: Mark) -> None:
        """So far is the store now."""
        self._marks[session] = mark

    def promise(self, session: Session) -> None:
        """A resume token is to bring it back, though it has no name."""
        if not session.named:
            self._promised.add(session)

    def promised(self, session: Session) -> bool:
        return session in self._promised

    def changed(self, session: Session) -> bool:
        """It has learnt something that the store does not know."""
        mark = self.of(session)
        return (session.frames, session.bytes) != (mark.frames, mark.bytes)

    def due(self, session: Session) -> bool:
        """And the store is to know it."""
        return self.changed(session) and (session.named or session in self._promised)

    def drop(self, session: Session) -> None:
        """It is another server's now, but still to be held there."""
        self._marks.pop(session, None)

    def part_with(self, session: Session) -> None:
        """It is no longer open here."""
        self.drop(session)
        self._promised.discard(session)
