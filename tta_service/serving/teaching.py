"""Teaching: a person's word about a picture becomes a lesson, which every teachable memory of the session learns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from ..core.errors import BadLabels, UnknownExample, UnknownSession
from ..core.lessons import (
    Example,
    ExampleRef,
    FrameRef,
    Lesson,
    LessonRequest,
    LessonResult,
    Question,
    RequestRef,
    is_covered,
    is_right,
)
from ..core.parameters import shorten
from ..core.request import Encoded, Features, Raw
from .concurrency import Executors
from .example_encoder import ExampleEncoder
from .pipeline.fitting import Fitter
from .pipeline.learning import Learner, concern
from .sessions.lesson_groups import LessonGroup
from .sessions.lessons import is_known
from .sessions.session import Session
from .sessions.sessions import Sessions
from .sessions.turns import TurnQueue
from .sums_exchange import SumsExchange
from .text.cache import TextSpaceCache

LessonTarget = Session | LessonGroup  # what is taught


class Teaching:
    """Lessons of sessions and of lesson groups. Frames that are admitted after a lesson are answered with it.

    What a session in a group is taught, it is taught for the group. Methods that take a session's `id` and a `group`
    are about the session, or without an id about the group.
    """

    def __init__(
        self, encoder: ExampleEncoder, sessions: Sessions, text_spaces: TextSpaceCache, lanes: Executors, fitter: Fitter
    ) -> None:
        self._encoder, self._registry = encoder, sessions.registry
        self._learner = Learner(sessions.registry, text_spaces, lanes, fitter)
        self.sums = SumsExchange(sessions.registry, self._learner, lanes)

    async def teach(
        self, owner: str, id: str, lesson: LessonRequest, client: str = "", group: str = ""
    ) -> LessonResult:
        """Adds a lesson, and returns when the session's memories have learnt it, or without an id all of the group.

        A picture opens the session or group if need be. Nobody waits for the other sessions of the session's group.

        Raises `UnknownSession`, `UnknownGroup`, `UnknownExample` for a frame, call or picture that the session does not
        remember, `BadLabels` without labels or for a label that is none of them or several, `MemoryFull`, and what
        classifying a picture raises.
        """
        if lesson.labels:
            _check_label(lesson.label, lesson.labels.names)  # before a picture is encoded
        with ExitStack() as holds:
            if isinstance(about := lesson.about, FrameRef | RequestRef | ExampleRef):
                target = self._hold(holds, self._find(owner, id, group))
                example = self._known_example(target, about)
            else:
                before = self._registry.get(owner, id) if id else self._registry.groups.get(owner, group)
                if before is not None:
                    self._hold(holds, before)
                example = await self._new_example(owner, about, lesson, client)
                target = before or self._hold(holds, self._obtain(owner, id, group))  # opened by a picture that is good
            if target.closed:
                raise UnknownSession("the session was closed before it had learnt this", "session_id")
            if lesson.labels is not None and lesson.labels.id != example.labels.id:
                example = replace(example, labels=lesson.labels, drawn=None)  # it was answered with others
            _check_label(lesson.label, example.labels.names)
            result = await self._add(target, example, lesson.label)
            if target.closed:
                raise UnknownSession("the session was closed while it learnt this", "session_id")
            return result

    async def unlearn(self, owner: str, id: str, examples: list[str], group: str = "") -> tuple[list[str], list[str]]:
        """Takes back all lessons about these examples: the ones that there were, and strategies that begin anew.

        Raises `UnknownSession`, `UnknownGroup`.
        """
        target = self._find(owner, id, group)
        lessons = [lesson for example in dict.fromkeys(examples) for lesson in target.lessons.about(example)]
        changes = [target.unlearn(lesson.example.id, lesson.example.labels.id) for lesson in lessons]
        anew, _ = self._learner.apply(self._sessions_of(_holder(target)), changes)
        return list(dict.fromkeys(lesson.example.id for lesson in lessons)), list(_names(anew))

    def lessons(self, owner: str, id: str, group: str = "") -> list[Lesson]:
        """The lessons, in the order in which this server heard of them. Raises `UnknownSession`, `UnknownGroup`."""
        return list(self._find(owner, id, group).lessons)

    def questions(self, owner: str, id: str, group: str = "") -> list[tuple[str, Question]]:
        """The questions that wait, with the ids of their sessions. Raises `UnknownSession`, `UnknownGroup`."""
        sessions = self._sessions_of(self._find(owner, id, group))
        for session in sessions:
            self._registry.expire_questions(session)
        return [(session.id, question) for session in sessions for question in session.questions]

    def _find(self, owner: str, id: str, group: str) -> LessonTarget:
        return self._registry.find(owner, id) if id else self._registry.groups.find(owner, group)

    def _obtain(self, owner: str, id: str, group: str) -> LessonTarget:
        return self._registry.obtain(owner, id) if id else self._registry.obtain_group(owner, group)

    def _hold(self, holds: ExitStack, target: LessonTarget) -> LessonTarget:
        """The target, which stays open for that long."""
        registry = self._registry
        holds.callback(registry.hold(target) if isinstance(target, Session) else registry.groups.hold(target))
        return target

    def _known_example(self, target: LessonTarget, about: FrameRef | RequestRef | ExampleRef) -> Example:
        if (by_id := isinstance(about, ExampleRef)) and (taught := target.lessons.about(about.id)):
            return taught[0].example
        of_group = isinstance(target, LessonGroup)
        asked = (one.questions.find(about) for one in self._sessions_of(target) if not of_group or by_id)
        question = next(filter(None, asked), None)
        try:
            if of_group:
                raise UnknownExample("the lesson group knows no such picture; frames and calls are its sessions'")
            return target.recent.find(about)
        except UnknownExample:
            if question is None:
                raise
            return question.example  # it waits for longer than pictures are remembered

    async def _new_example(
        self, owner: str, about: Encoded | Raw | Features | Example, lesson: LessonRequest, client: str
    ) -> Example:
        if isinstance(about, Example):
            return await self._encoder.encode_again(owner, about, client)
        return await self._encoder.encode(owner, about, lesson, client)

    async def _add(self, target: LessonTarget, example: Example, label: str | None) -> LessonResult:
        before, holder = target.lessons.get(example.id, example.labels.id), _holder(target)
        if before is not None and example.set_apart:
            example = before.example  # the features that it has here are at least as good
        apart = example.set_apart
        if before is not None and is_known(before, example, label):
            self._answer(holder, example.id)
            return LessonResult(example.id, replaced=True, learnt_by=self._learners(target, before), set_apart=apart)
        self._registry.room.admit(holder, holder.lessons.bytes_of(example))
        self._count(example, label)
        anew, learning = self._learner.apply(self._sessions_of(holder), [holder.teach(example, label)])
        self._answer(holder, example.id)
        awaited = [one for one in learning if target in (one.session, holder)]
        learnt = await asyncio.gather(*(asyncio.shield(one.task) for one in awaited))
        names = _names(one.queue for one, did in zip(awaited, learnt, strict=True) if did)
        return LessonResult(example.id, before is not None, names, _names(anew), set_apart=apart)

    def _count(self, example: Example, label: str | None) -> None:
        totals, drawn = self._registry.accounting.questions, example.drawn
        if (held := is_covered(example, label)) is not None:
            totals.count_checked(held)
        if drawn is not None and drawn.confidence is not None:
            totals.count_named(drawn.confidence, is_right(drawn, example.labels.names, label))

    def _answer(self, holder: LessonTarget, example: str) -> None:
        """Nobody needs to be asked about that example any more."""
        for session in self._sessions_of(holder):
            session.questions.answer(example)

    def _learners(self, target: LessonTarget, lesson: Lesson) -> tuple[str, ...]:
        """The strategies whose memories have learnt the lesson."""
        queues = (queue for session in self._sessions_of(target) for queue in session.memories.values())
        return _names(queue for queue in queues if queue.slot.begun and concern([lesson], queue))

    def _sessions_of(self, target: LessonTarget) -> list[Session]:
        return self._registry.sessions_of(target) if isinstance(target, LessonGroup) else [target]


def _holder(target: LessonTarget) -> LessonTarget:
    """Who holds the target's lessons: its group, if it is a session in one."""
    return target.group or target if isinstance(target, Session) else target


def _check_label(label: str | None, names: tuple[str, ...]) -> None:
    """Raises `BadLabels` for a label that names none or several of the classes."""
    if label is None or names.count(label) == 1:
        return
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    which = f"is none of the {len(names)} labels {shown}"
    raise BadLabels(
        f"{shorten(label)} {'is the name of several classes, and which one is not said' if label in names else which}",
        "label",
    )


def _names(queues: Iterable[TurnQueue]) -> tuple[str, ...]:
    """Of the strategies, sorted."""
    return tuple(sorted({queue.slot.key.strategy.name for queue in queues}))
