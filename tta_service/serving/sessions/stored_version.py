"""What the state store holds of a session."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.errors import TTAError

State = bytes  # as it is stored; `bytes` is a field here


@dataclass(slots=True)
class StoredVersion:
    """What the state store holds of a session, as far as this server knows, and what is under way there."""

    epoch: int = 0  # 0: nothing is stored
    frames: int = 0
    bytes: int = 0
    lessons: int = 0  # `LessonBook.changes` by then
    resumable: bool = False  # the session has no name, but a resume token: it has to be stored nevertheless
    queued: bool = False  # a write waits
    restoring: bool = False  # a snapshot was restored here, and its claim waits
    unanswered: set[State] = field(default_factory=set[State])  # states that the store may have got without saying so
    refused: int = 0  # bytes of the session when its owner had no room for it in the store; 0: it had
    deleted: bool = False  # there was a record, and it went with the session
    lost: TTAError | None = None  # why a write was refused: another server has the session

    def record(self, epoch: int, frames: int, bytes: int, lessons: int = 0) -> None:
        """The store holds this state now."""
        self.epoch, self.frames, self.bytes, self.lessons = epoch, frames, bytes, lessons
        self.unanswered.clear()
        self.refused = 0
