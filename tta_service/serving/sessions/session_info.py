"""A session as its owner sees it."""

from __future__ import annotations

from dataclasses import dataclass

from .watch import AnswerStatistics


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner sees it. Times in seconds."""

    id: str
    frames: int
    memory_bytes: int
    strategies: tuple[str, ...]  # that have a memory here, sorted
    age: float
    idle: float  # since the last frame was done; 0 while one is in progress
    epoch: int
    last_frame_id: int
    lessons: int  # of the session, or of its group
    lessons_set_apart: int  # of them: of another model, so nothing learns from them
    group: str  # empty: its lessons are its own
    questions: int  # that wait for an answer
    owner: str
    answers: AnswerStatistics
