"""Teaching: a person's word about a picture becomes a lesson, which every teachable memory of the session learns."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.catalogue import strategies
from ..core.errors import BadLabels, UnknownSession
from ..core.lessons import Example, ExampleRef, FrameRef, Lesson, RequestRef, Taught, Word
from ..core.request import Encoded, Features, Raw, Request
from ..core.strategy import is_teachable, needs_of
from .concurrency import Executors
from .engine import Engine
from .pipeline.adaptation import learn
from .pipeline.fitting import Fitter
from .sessions.session import Session
from .sessions.sessions import Sessions
from .sessions.turns import ResetTurn, Turn, TurnQueue
from .text.cache import TextSpaceCache


class Teaching:
    """Lessons of sessions. Frames that are admitted after a lesson are answered with it."""

    def __init__(
        self, engine: Engine, sessions: Sessions, text_spaces: TextSpaceCache, lanes: Executors, fitter: Fitter
    ) -> None:
        self._engine, self._registry, self._text_spaces = engine, sessions.registry, text_spaces
        self._lanes, self._fitter = lanes, fitter
        self._tasks: set[asyncio.Task[bool]] = set()

    async def teach(self, owner: str, id: str, word: Word, client: str = "") -> Taught:
        """Adds a lesson to the session, which a picture opens if need be, and returns when its memories have learnt it.

        Raises `UnknownSession`, `UnknownExample` for a frame, call or picture that the session does not remember,
        `BadLabels` without labels or for a label that is none of them or several, `MemoryFull`, and what classifying a
        picture raises.
        """
        known = isinstance(word.about, FrameRef | RequestRef | ExampleRef)
        session = self._registry.find(owner, id) if known else self._registry.obtain(owner, id)
        release = self._registry.hold(session)
        try:
            example = await self._example(session, word, client)
            if session.closed:
                raise UnknownSession("the session was closed before it had learnt this", "session_id")
            names = example.labels.names
            if word.label is not None and word.label not in names:
                raise BadLabels(f"{word.label[:60]!r} is none of the {len(names)} labels {_shown(names)}", "label")
            if word.label is not None and names.count(word.label) > 1:
                raise BadLabels(
                    f"{word.label[:60]!r} is the name of several classes, and which one is not said", "label"
                )
            return await self._add(session, example, word.label)
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

    async def _example(self, session: Session, word: Word, client: str) -> Example:
        match word.about:
            case FrameRef() | RequestRef():
                found = session.recent.find(word.about)
            case ExampleRef(id):
                taught = session.lessons.about(id)
                found = taught[0].example if taught else session.recent.find(word.about)
            case _:
                found = await self._encode(session, word.about, word, client)
        return replace(found, labels=word.labels) if word.labels else found

    async def _encode(self, session: Session, image: Encoded | Raw | Features, word: Word, client: str) -> Example:
        """A picture's example: the same picture is the same example."""
        if word.labels is None:
            raise BadLabels("there are no labels: a picture that is no frame of the session needs them", "labels")
        request = Request(
            image, word.labels, strategies.build("zero_shot"), word.reduction, owner=session.owner, client=client
        )
        report = await self._engine.classify(request)
        assert report.feature is not None
        match image:
            case Encoded(data):
                content = data
            case Raw():
                content = repr((image.width, image.height, image.format)).encode() + image.pixels
            case Features(rows):
                content = rows.cpu().numpy().tobytes()
        reduction = None if isinstance(image, Features) else word.reduction
        digest = hashlib.sha256(content).hexdigest()[:24]
        return Example(f"picture-{digest}", report.feature.half()[None], word.labels, reduction, time.time())

    async def _add(self, session: Session, example: Example, label: str | None) -> Taught:
        before = session.lessons.get(example.id, example.labels.id)
        if before is not None and before.label == label:
            return Taught(example.id, replaced=True, learnt_by=_names(_queues(session, before)))
        self._registry.admit(session, example.views.nbytes)
        lesson = session.lessons.add(example, label)
        if before is not None:
            return Taught(example.id, replaced=True, began_anew=self._begin_anew(session, lesson))
        queues = _queues(session, lesson)
        learning = [self._learn_in_turn(session, queue) for queue in queues]
        learnt = await asyncio.gather(*map(asyncio.shield, learning))
        return Taught(example.id, learnt_by=_names(queue for queue, did in zip(queues, learnt, strict=True) if did))

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


def _queues(session: Session, lesson: Lesson) -> list[TurnQueue]:
    """The memories that can learn the lesson: of its label set and its reduction."""
    wanted = (lesson.example.labels.id, lesson.example.reduction)
    memories = session.memories.items()
    return [queue for key, queue in memories if (key.labels, key.reduction) == wanted and is_teachable(key.strategy)]


def _names(queues: Iterable[TurnQueue]) -> tuple[str, ...]:
    return tuple(sorted({queue.slot.key.strategy.name for queue in queues}))


def _shown(names: tuple[str, ...], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
