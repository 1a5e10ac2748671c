"""Teaching: a person's word about a picture becomes a lesson, which every teachable memory of the session learns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.errors import BadLabels, UnknownSession
from ..core.lessons import Example, ExampleRef, FrameRef, Lesson, LessonRequest, LessonResult, RequestRef
from ..core.parameters import shorten
from ..core.request import Encoded, Features, Raw
from ..core.strategy import is_teachable, needs_of
from .concurrency import Executors
from .example_encoder import ExampleEncoder
from .pipeline.adaptation import learn
from .pipeline.fitting import Fitter
from .sessions.session import Session
from .sessions.sessions import Sessions
from .sessions.turns import ResetTurn, Turn, TurnQueue
from .text.cache import TextSpaceCache


class Teaching:
    """Lessons of sessions. Frames that are admitted after a lesson are answered with it."""

    def __init__(
        self, encoder: ExampleEncoder, sessions: Sessions, text_spaces: TextSpaceCache, lanes: Executors, fitter: Fitter
    ) -> None:
        self._encoder, self._registry, self._text_spaces = encoder, sessions.registry, text_spaces
        self._lanes, self._fitter = lanes, fitter
        self._tasks: set[asyncio.Task[bool]] = set()

    async def teach(self, owner: str, id: str, lesson: LessonRequest, client: str = "") -> LessonResult:
        """Adds a lesson to the session, which a picture opens if need be, and returns when its memories have learnt it.

        Raises `UnknownSession`, `UnknownExample` for a frame, call or picture that the session does not remember,
        `BadLabels` without labels or for a label that is none of them or several, `MemoryFull`, and what classifying a
        picture raises.
        """
        known = isinstance(lesson.about, FrameRef | RequestRef | ExampleRef)
        session = self._registry.find(owner, id) if known else self._registry.obtain(owner, id)
        release = self._registry.hold(session)
        try:
            example = await self._example(session, lesson, client)
            if session.closed:
                raise UnknownSession("the session was closed before it had learnt this", "session_id")
            _check_label(lesson.label, example.labels.names)
            result = await self._add(session, example, lesson.label)
            if session.closed:
                raise UnknownSession("the session was closed while it learnt this", "session_id")
            return result
        finally:
            release()

    async def unlearn(self, owner: str, id: str, examples: list[str]) -> tuple[list[str], list[str]]:
        """Takes back all lessons about these examples: the ones that there were, and strategies that begin anew.

        Raises `UnknownSession`.
        """
        session = self._registry.find(owner, id)
        lessons = [lesson for example in dict.fromkeys(examples) for lesson in session.lessons.about(example)]
        anew = set[str]()
        for lesson in lessons:
            session.lessons.remove(lesson.example.id, lesson.example.labels.id)
            anew.update(self._begin_anew(session, lesson))
        return list(dict.fromkeys(lesson.example.id for lesson in lessons)), sorted(anew)

    def lessons(self, owner: str, id: str) -> list[Lesson]:
        """The lessons of the session, in the order of teaching. Raises `UnknownSession`."""
        return list(self._registry.find(owner, id).lessons)

    async def _example(self, session: Session, lesson: LessonRequest, client: str) -> Example:
        match lesson.about:
            case FrameRef() | RequestRef():
                found = session.recent.find(lesson.about)
            case ExampleRef(id):
                taught = session.lessons.about(id)
                found = taught[0].example if taught else session.recent.find(lesson.about)
            case Encoded() | Raw() | Features() as image:
                found = await self._encoder.encode(session.owner, image, lesson, client)
            case Example() as recorded:
                found = await self._encoder.encode_again(session.owner, recorded, client)
        return replace(found, labels=lesson.labels) if lesson.labels else found

    async def _add(self, session: Session, example: Example, label: str | None) -> LessonResult:
        before = session.lessons.get(example.id, example.labels.id)
        if before is not None and example.set_apart:
            example = before.example  # the features that it has here are at least as good
        apart = example.set_apart
        if before is not None and (before.label, before.example.set_apart) == (label, apart):
            return LessonResult(example.id, True, learnt_by=_names(_queues(session, before)), set_apart=apart)
        self._registry.admit(session, session.lessons.bytes_of(example))
        lesson = session.lessons.add(example, label)
        if before is not None and _is_learnt(before):
            return LessonResult(example.id, True, began_anew=self._begin_anew(session, before), set_apart=apart)
        queues = _queues(session, lesson)
        learning = [self._learn_in_turn(session, queue) for queue in queues]
        learnt = await asyncio.gather(*map(asyncio.shield, learning))
        names = _names(queue for queue, did in zip(queues, learnt, strict=True) if did)
        return LessonResult(example.id, replaced=before is not None, learnt_by=names, set_apart=apart)

    def _begin_anew(self, session: Session, lesson: Lesson) -> tuple[str, ...]:
        """Resets, in their turns, the memories that may have learnt the lesson; the next frame begins them anew."""
        queues = [queue for queue in _queues(session, lesson) if not queue.empty]
        for queue in queues:
            queue.enqueue(self._registry.hold(session, used=False), ResetTurn)
        return _names(queues)

    def _learn_in_turn(self, session: Session, queue: TurnQueue) -> asyncio.Task[bool]:
        """A task that learns all new lessons when the memory's turn comes; it ends even when nobody waits for it."""
        turn = queue.enqueue(self._registry.hold(session, used=False))
        task = asyncio.create_task(self._learn(session, queue, turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _learn(self, session: Session, queue: TurnQueue, turn: Turn) -> bool:
        """Whether the memory had something to learn. One that has not begun learns all lessons when it begins."""
        slot, strategy = turn.slot, turn.slot.key.strategy
        try:
            text = await self._text_spaces.get(slot.labels)
            await turn.wait()
            lessons, last = session.lessons.matching(slot.key, after=slot.learnt), session.lessons.last
            if not slot.begun or not lessons:
                return False

            def work(memory: Any, deliver: object) -> tuple[None, Any]:
                return None, learn(strategy, text, lessons, memory)

            def on_learnt() -> None:
                slot.learnt = last

            lane = self._lanes.tune if needs_of(strategy).gradient else self._lanes.adapt
            await turn.adapt(lane, work, on_learnt)
            self._fitter.start(queue, partial(self._registry.hold, session, used=False))
            return True
        finally:
            turn.leave()


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


def _is_learnt(lesson: Lesson) -> bool:
    """Memories learn from it, unless it says "none of these" or is set apart."""
    return lesson.label is not None and not lesson.example.set_apart


def _queues(session: Session, lesson: Lesson) -> list[TurnQueue]:
    """The memories that learn from the lesson: of its label set and its reduction."""
    wanted = (lesson.example.labels.id, lesson.example.reduction)
    memories = session.memories.items() if _is_learnt(lesson) else ()
    return [queue for key, queue in memories if (key.labels, key.reduction) == wanted and is_teachable(key.strategy)]


def _names(queues: Iterable[TurnQueue]) -> tuple[str, ...]:
    """Of the strategies, sorted."""
    return tuple(sorted({queue.slot.key.strategy.name for queue in queues}))
