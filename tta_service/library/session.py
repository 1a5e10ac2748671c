"""A session of the engine, and the file that keeps it."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..app.parts import Runtime
from ..core.errors import BadRequest, UnknownSession
from ..core.lessons import ExampleRef, LessonRequest, LessonResult
from ..core.request import Encoded, Request
from ..wire.options import parse_options
from ..wire.requests import parse_label_set
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .answers import Answer
from .images import Picture, read_picture

OPTIONS, STATE = "options.pb", "session.bin"  # in the file


class AsyncSession:
    """The frames of one camera or the pictures of one task. From `AsyncModel.session`."""

    def __init__(self, parts: Runtime, chosen: pb.ClassifyRequest, request: Request) -> None:
        self._parts, self._chosen, self._request = parts, chosen, request
        registry = parts.sessions.registry
        self._session = registry.obtain("", request.session)
        registry.join(self._session, request.group)
        self._release = registry.hold(self._session)  # it stays open however long nothing comes
        self._frames = 0

    @property
    def name(self) -> str:
        """Its id."""
        return self._request.session

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._request.labels.names

    async def __call__(self, picture: Picture, *, frame: int | None = None, seed: int | None = None) -> Answer:
        """The answer to a picture. A lesson may name it by `frame`. `seed` places the views, the options' otherwise.

        Raises `BadImage`, OSError for a file.
        """
        request, seed = self._open_request(), self._request.seed if seed is None else seed
        image = await asyncio.to_thread(read_picture, picture)
        return Answer(await self._parts.engine.classify(replace(request, image=image, frame_id=frame, seed=seed)))

    async def teach(self, about: Picture | Answer, label: str | None) -> LessonResult:
        """Say what a picture shows; None: none of the classes. An answer of this session stands for its picture.

        Later answers of strategies that can be taught follow it. Raises `BadLabels`, `UnknownExample`, `BadImage`.
        """
        request = self._open_request()
        if isinstance(about, Answer):
            target, labels = ExampleRef(about.example_id), None
        else:
            target, labels = await asyncio.to_thread(read_picture, about), request.labels
        lesson = LessonRequest(target, label, labels, request.reduction)
        return await self._parts.teaching.teach("", self.name, lesson)

    async def unlearn(self, lessons: Iterable[LessonResult | Answer | str]) -> list[str]:
        """Take lessons back: results of `teach`, answers or example ids. The ids of those that there were."""
        self._open_request()
        if isinstance(lessons, str) or not isinstance(lessons, Iterable):
            raise BadRequest("lessons is a single lesson; give several, [lesson, …]", "lessons")
        return (await self._parts.teaching.unlearn("", self.name, list(map(_example_id, lessons))))[0]

    async def reset(self) -> None:
        """Forget what was learnt from pictures. Lessons stay."""
        self._open_request()
        await self._parts.sessions.reset("", self.name)

    async def save(self, file: str | os.PathLike[str]) -> None:
        """Write the session to a file for `restore`. Without a `secret` whoever has the file can read it."""
        self._open_request()
        snapshot = await self._parts.persistence.snapshot("", self.name)
        chosen = pb.ClassifyRequest(session_id=self.name)
        chosen.MergeFrom(self._chosen)
        await asyncio.to_thread(write_session, Path(file), chosen, snapshot.state)

    def close(self) -> None:
        """End the session and forget what it learnt. A second call does nothing."""
        if not self._session.closed:
            self._release()
            self._parts.sessions.registry.close(self._session, "client")

    def _open_request(self) -> Request:
        if self._session.closed:
            raise UnknownSession(f"the session {self.name} is closed", "session")
        return self._request


def parse_chosen(chosen: pb.ClassifyRequest, info: ServerInfo) -> Request:
    """The request that `chosen` describes, without a picture, checked as by the service."""
    options = parse_options(chosen.options, info, "options")
    return Request(
        Encoded(b""),
        parse_label_set(chosen.labels.label_set, info, "labels"),
        options.strategy,
        options.reduction,
        options.cascade,
        seed=options.seed,
        on_deadline=options.on_deadline,
        explain=options.explain,
        guard=options.guard,
        ask=options.ask,
        trust=options.trust,
    )


def _example_id(lesson: LessonResult | Answer | str) -> str:
    match lesson:
        case Answer():
            return lesson.example_id
        case LessonResult():
            return lesson.example
        case _:
            return lesson


def write_session(file: Path, chosen: pb.ClassifyRequest, state: bytes) -> None:
    """Write what was chosen for a session, and its snapshot."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(OPTIONS, chosen.SerializeToString())
        archive.writestr(STATE, state)
    partial = file.with_name(file.name + ".part")
    partial.write_bytes(whole.getvalue())
    partial.replace(file)  # a crash leaves the old file


def read_session(file: Path) -> tuple[pb.ClassifyRequest, bytes]:
    """What `write_session` wrote. Raises `BadRequest`, OSError."""
    data = file.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return pb.ClassifyRequest.FromString(archive.read(OPTIONS)), archive.read(STATE)
    except Exception:
        raise BadRequest(f"{file} is no saved session", "file") from None
