"""One session: an owner's name for the memories that its frames share."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ...core.errors import BadRequest, TTAError
from ...core.labels import LabelSet
from ...core.lessons import Example, Lesson
from ...core.request import SessionStatus
from .asking import SessionAsking
from .group_entries import Change
from .lesson_groups import LessonGroup
from .lessons import LessonBook, RecentExamples
from .memory import MemoryAccounting, MemoryKey, MemorySlot
from .questions import QuestionBook
from .session_info import SessionInfo
from .stored_version import StoredVersion
from .trust import SessionTrust
from .turns import TurnQueue
from .watch import SessionWatch


def check_session_id(id: str, field: str = "session_id", what: str = "a session id") -> str:
    """The id; an empty one stands for a new session. Raises `BadRequest` for one that no session may have."""
    if id and not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", id):
        raise BadRequest(f"{what} is 1 to 128 of the characters A-Z a-z 0-9 . _ : -", field)
    return id


@dataclass(slots=True, eq=False)
class Session:
    """The state of a session between two requests."""

    owner: str
    id: str
    named: bool  # by the client; else it ends with the call or stream that it was made for
    created: float
    last_used: float
    accounting: MemoryAccounting
    recent_limit: int = 0  # frames that it remembers for lessons
    question_limit: int = 0
    frames: int = 0
    last_frame_id: int = 0
    epoch: int = 1
    restored: bool = False  # the next answer says so
    lost_frames: int = 0  # seen by the session of this name that was evicted; the next answer says so
    holds: int = 0  # requests and turns in progress
    lease_lost: asyncio.Future[TTAError] | None = None  # the open stream waits here for the loss of the session
    silent: bool = False  # the open stream has sent nothing yet
    closed: bool = False
    bytes: int = 0  # of all its memories, lessons and questions
    memories: dict[MemoryKey, TurnQueue] = field(default_factory=dict[MemoryKey, TurnQueue])
    trust: SessionTrust = field(default_factory=SessionTrust)
    asking: SessionAsking = field(default_factory=SessionAsking)
    stored: StoredVersion = field(default_factory=StoredVersion)
    group: LessonGroup | None = None
    leave_group: Callable[[], None] = lambda: None
    watch: SessionWatch = field(default_factory=SessionWatch)
    own_lessons: LessonBook = field(init=False)  # empty while it is in a group
    recent: RecentExamples = field(init=False)
    questions: QuestionBook = field(init=False)

    def __post_init__(self) -> None:
        self.own_lessons = LessonBook(partial(self._on_resize, "lessons"))
        self.recent = RecentExamples(self._on_recent, self.recent_limit)
        count = partial(self._on_resize, "questions")
        self.questions = QuestionBook(count, self.accounting.questions, self.question_limit)

    @property
    def lessons(self) -> LessonBook:
        """Those that its memories learn: its own, or those of its group."""
        return self.group.lessons if self.group else self.own_lessons

    @property
    def evictable(self) -> bool:
        """Nothing is in progress and no stream is open."""
        return not self.holds and self.lease_lost is None

    def queue(self, key: MemoryKey, labels: LabelSet) -> TurnQueue:
        """The memory of that key with its queue of turns, made on first use."""
        if key not in self.memories:
            self.memories[key] = TurnQueue(MemorySlot(key, labels, partial(self._on_resize, key.strategy.name)))
        return self.memories[key]

    def teach(self, example: Example, label: str | None) -> Change:
        """A new lesson of the session or its group, in place of one about the example in the same label set."""
        if self.group:
            return self.group.teach(example, label)
        return Change(*self.own_lessons.add(Lesson(0, example, label, time.time())))

    def unlearn(self, example: str, labels: str) -> Change:
        """Takes a lesson of the session or its group back."""
        if self.group:
            return self.group.unlearn(example, labels)
        return Change(self.own_lessons.remove(example, labels), None)

    def enter(self, group: LessonGroup, leave: Callable[[], None]) -> list[Lesson]:
        """Shares the lessons of that group from now on; the session's own lessons, which it does not have any more."""
        own = list(self.own_lessons)
        for lesson in own:
            self.own_lessons.remove(lesson.example.id, lesson.example.labels.id)
        self.leave_group()
        self.group, self.leave_group = group, leave
        return own

    def restore(self, epoch: int, frames: int, last_frame_id: int) -> None:
        """Goes on from the state of another server; the next answer has the origin "restored"."""
        self.epoch, self.frames, self.last_frame_id, self.restored = epoch, frames, last_frame_id, True
        self.lost_frames = self.lost_frames if frames < self.lost_frames else 0  # else nothing is lost

    def drop_empty(self) -> None:
        """Drops the queues that hold no memory and no turn."""
        self.memories = {key: queue for key, queue in self.memories.items() if not queue.empty}

    def end(self, error: TTAError) -> None:
        """Gives all bytes back and sends `error` to an open stream. Frames in a lane end as usual, uncounted."""
        for slot in (queue.slot for queue in self.memories.values()):
            self._count(slot.key.strategy.name, -slot.bytes)
        self._count("lessons", -self.own_lessons.bytes)
        self._count("questions", -self.questions.bytes)
        self.accounting.questions.waiting -= len(self.questions)
        self.leave_group()
        self.recent.clear()
        self.closed = True
        self.revoke_lease(error)

    def revoke_lease(self, error: TTAError) -> None:
        """Takes the session from the open stream, if there is one."""
        if self.lease_lost is not None and not self.lease_lost.done():
            self.lease_lost.set_result(error)
        self.lease_lost = None

    def status(self) -> SessionStatus:
        """The status between two frames."""
        origin = "restored" if self.restored else "continued" if self.frames else "fresh"
        last, apart = self.last_frame_id, self.lessons.set_apart
        return SessionStatus(self.id, origin, self.frames, self.bytes, False, last, apart)

    def count_frame(self, frame_id: int | None, anew: bool = False) -> SessionStatus:
        """Counts one more frame; the status for its answer. `anew`: its memory began with it, or an eviction."""
        origin, anew = self.status().origin, anew or self.lost_frames > 0
        self.restored, self.lost_frames = False, 0
        self.frames += 1
        self.last_frame_id, apart = self.last_frame_id if frame_id is None else frame_id, self.lessons.set_apart
        return SessionStatus(self.id, origin, self.frames, self.bytes, anew, self.last_frame_id, apart)

    def describe(self, now: float) -> SessionInfo:
        """The session as its owner sees it at the time `now`."""
        strategies = {queue.slot.key.strategy.name for queue in self.memories.values() if queue.slot.begun}
        return SessionInfo(
            self.id,
            self.frames,
            self.bytes,
            tuple(sorted(strategies)),
            now - self.created,
            0.0 if self.holds else now - self.last_used,
            self.epoch,
            self.last_frame_id,
            len(self.lessons),
            self.lessons.set_apart,
            self.group.id if self.group else "",
            len(self.questions),
            self.owner,
            self.watch.statistics,
        )

    def _on_resize(self, strategy: str, by: int) -> None:
        self.bytes += by
        self._count(strategy, by)

    def _on_recent(self, by: int) -> None:
        if not self.closed:
            self.accounting.recent += by

    def _count(self, what: str, by: int) -> None:
        if not self.closed:
            self.accounting.change(self.owner, what, by)
