"""Snapshots: all memories of a session, copied in their turns and restored on this or another server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from ...core.errors import BadLabels, BadParameters, BadRequest, SessionInUse, UnknownReducer, UnknownStrategy
from ...core.lessons import Lesson, Question
from ...core.memory import tensors
from ..concurrency import Executors, run
from ..sessions.session import Session
from ..sessions.sessions import Sessions
from ..sessions.turns import TurnQueue
from ..text.cache import TextSpaceCache
from .encryption import Subject, stored_session
from .lesson_codec import Content, decode_taught, encode_taught
from .memory_codec import MemoryImage, copy_memories, decode, decode_key, encode_memories, split
from .session_image import SessionImage
from .signing import ResumeTokens, SignedCodec, may_have, owners_of
from .trust_codec import encode_trust, without_trust

UNUSABLE = (BadRequest, BadLabels, BadParameters, UnknownStrategy, UnknownReducer, SessionInUse)  # of a stored state
StartFit = Callable[[TurnQueue, Callable[[], Callable[[], None]]], None]
EncodeAgain = Callable[[str, Sequence[Lesson]], Awaitable[list[Lesson]]]
Check = Callable[[Mapping[str, Any]], Awaitable[None]]  # of a snapshot's header
log = logging.getLogger(__name__)


def _hold_nothing() -> Callable[[], None]:
    """For a session that only a token names: the end of a hold would end it."""
    return lambda: None


async def keep_apart(owner: str, lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons as they are."""
    return list(lessons)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session as one blob, for its client or the state store."""

    session: str
    epoch: int
    state: bytes  # encrypted and signed


class Snapshots:
    """Takes and restores snapshots. `fingerprint` is the model's: a memory does not fit the features of another one.

    Lessons outlive a change of model: `encode_again(owner, lessons)` makes those usable that have a thumbnail. So do
    questions with a thumbnail, for the answer to another one would teach nothing. A fit that was not in the snapshot
    yet is made again by `start_fit`. Snapshots from before owners are `adopt_owner`'s.
    """

    def __init__(
        self,
        sessions: Sessions,
        text_spaces: TextSpaceCache,
        lanes: Executors,
        fingerprint: str,
        secret: bytes = b"",
        encode_again: EncodeAgain = keep_apart,
        start_fit: StartFit = lambda queue, hold: None,
        adopt_owner: str = "",
        former_secrets: Sequence[bytes] = (),
    ) -> None:
        self._sessions, self._text_spaces, self.lanes = sessions, text_spaces, lanes
        self.fingerprint, self.encode_again = fingerprint, encode_again
        self.codec = SignedCodec(secret, former_secrets)
        self._start_fit, self.adopt_owner = start_fit, adopt_owner
        self.tokens = ResumeTokens(self.codec, adopt_owner)
        self.load_group: Callable[[str, str], Awaitable[None]] | None = None  # (owner, id): from the state store

    async def take(self, owner: str, id: str) -> Snapshot:
        """Copies all memories, each after the frames that came before. Raises `UnknownSession`."""
        return await self.make(self._sessions.registry.find(owner, id))

    async def make(self, session: Session, group_lessons: bool = True) -> Snapshot:
        """The same for a given session, even for one that has just been closed.

        Not `group_lessons`: a record for the state store, which has those of its group elsewhere.
        """
        lessons, last_lesson = list(session.lessons), session.lessons.last  # that are learnt when turns come now
        questions = list(session.questions)
        group = session.group
        learnt, sites = (list(group.names.values()), group.site_names) if group else ([], [])
        images = await copy_memories(session, partial(self._sessions.registry.hold, session, used=False), self.lanes)
        epoch = session.epoch
        header = {"fingerprint": self.fingerprint, "owner": session.owner, "session": session.id, "epoch": epoch}
        header |= encode_memories(session, images) | encode_trust(session)
        if group is not None:
            header |= {"group": group.id, "learnt": learnt, "sites": sites}
            lessons = lessons if group_lessons else []
        values = {f"{i}.{name}": value for i, copy in enumerate(images) for name, value in tensors(copy.memory).items()}
        encode_lessons = partial(encode_taught, lessons, last_lesson, questions, self.fingerprint)
        subject = Subject("snapshot", session.owner) if group_lessons else stored_session(session.owner, session.id)
        state = await run(self.lanes.prepare, self._dump, header, values, encode_lessons, subject)
        return Snapshot(session.id, epoch, state)

    async def restore(self, owner: str, state: bytes, id: str = "", check: Check | None = None) -> Session:
        """The session goes on here, one epoch later, and replaces an idle one of the same id, its own without `id`.

        `check(header)` may object.

        Of another model's snapshot lessons and questions are restored; what another version of a strategy learnt from
        lessons begins anew. Raises `BadRequest` when the state was changed, is another owner's, does not fit this
        version's memories, or is another model's without lessons; `NewerFormat`; `SessionInUse`; `MemoryFull`.
        """
        with _blame_snapshot():
            image = await self._decode(owner, state, partial(Subject, "snapshot"))
            if id:
                image = replace(image, header={**image.header, "session": id})
            if check:
                await check(image.header)
            return self._install(image, owner, image.header["epoch"] + 1, named=True)

    async def reinstate(self, owner: str, id: str, state: bytes, epoch: int, named: bool) -> Session:
        """The same for a state from the store, at the epoch of its takeover."""
        with _blame_snapshot():
            image = await self._decode(owner, state, partial(stored_session, id=id))
            if image.header["session"] != id:
                raise BadRequest("this snapshot is of another session", "state")
            return self._install(image, owner, epoch, named)

    async def _decode(self, owner: str, state: bytes, subject: Callable[[str], Subject]) -> SessionImage:
        subjects = [subject(one) for one in owners_of(owner, self.adopt_owner)]
        header, values, lessons, questions = await run(self.lanes.prepare, self._load, state, subjects)
        if not may_have(owner, header.get("owner"), self.adopt_owner) or "session" not in header:
            raise BadRequest("this snapshot is another owner's", "state")
        if self.load_group and "group" in header:
            await self.load_group(owner, header["group"])
        if header["fingerprint"] != self.fingerprint:
            return await self._decode_lessons(owner, header, lessons, questions)
        progress, images = (header["frames"], header["last_frame_id"]), list[MemoryImage]()
        taught = bool(lessons or header.get("group"))
        for place, described in enumerate(header["memories"]):
            named = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{place}.")}
            images.append(await decode(described, named, progress, self._text_spaces, self.lanes, taught))
        return SessionImage(header, *split(images), lessons, questions)

    async def _decode_lessons(
        self, owner: str, header: Mapping[str, Any], lessons: list[Lesson], questions: list[Question]
    ) -> SessionImage:
        """What is of use of another model's session."""
        if not lessons and not questions and "group" not in header:
            made = f"this snapshot was made with another model, {header['fingerprint']}"
            raise BadRequest(f"{made}; this server's is {self.fingerprint}", "state")
        lessons = await self.encode_again(owner, lessons)
        answers = await self.encode_again(owner, [Lesson(0, question.example, None) for question in questions])
        again = [replace(one, example=answer.example) for one, answer in zip(questions, answers, strict=True)]
        questions = [question for question in again if not question.example.set_apart]
        dropped, apart = [decode_key(one) for one in header["memories"]], sum(one.example.set_apart for one in lessons)
        log.warning(
            "session %s comes from another model: %d memories begin anew, %d of %d lessons are set apart",
            *(header["session"], len(dropped), apart, len(lessons)),
        )
        return SessionImage(without_trust(header), [], dropped, lessons, questions)

    def _dump(
        self,
        header: dict[str, Any],
        values: dict[str, Tensor],
        encode_taught: Callable[[], Content],
        subject: Subject,
    ) -> bytes:
        taught, tensors = encode_taught()
        return self.codec.dumps(header | taught, values | tensors, subject, bool(taught) or "group" in header)

    def _load(
        self, state: bytes, subjects: Sequence[Subject]
    ) -> tuple[dict[str, Any], dict[str, Tensor], list[Lesson], list[Question]]:
        header, values = self.codec.loads(state, *subjects)
        if any(type(header.get(name, 0)) is not int for name in ("epoch", "frames", "last_frame_id")):
            raise TypeError("a number of frames or its epoch is no whole number")
        return header, values, *decode_taught(header, values, self.fingerprint)

    def _install(self, image: SessionImage, owner: str, epoch: int, named: bool) -> Session:
        registry = self._sessions.registry
        session = image.install(registry, owner, epoch, named)
        hold = partial(registry.hold, session, used=False) if session.named else _hold_nothing
        for queue in session.memories.values():
            self._start_fit(queue, hold)
        return session


@contextmanager
def _blame_snapshot() -> Generator[None]:
    """What is signed and yet no session, as of another program with the same secret, is refused and not half read."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise BadRequest(f"this snapshot is no session ({type(error).__name__}: {error})", "state") from error
