"""`tta.v1.AdaptationService`: each method says what to ask whom, and decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from ...core import catalogue
from ...core.errors import BadRequest, TTAError
from ...core.events import Observe, ignore
from ...core.request import Report, Request
from ...serving.engine import Engine
from ...serving.persistence.service import SessionPersistence
from ...serving.sessions.sessions import Sessions
from ...serving.streams.frame_buffer import BufferTotals
from ...serving.text.cache import TextSpaceCache
from ...wire.catalogue import Pace, descriptions, server_info
from ...wire.field_paths import Origin
from ...wire.identity import OWNER, client_of, trace_of
from ...wire.requests import asked_of
from ...wire.responses import response
from ...wire.server_info import Terms
from ...wire.stream_requests import Frame, Opened, frame_of, opened_of
from ...wire.v1 import tta_pb2 as pb
from ..interceptor import Context, whenever_done
from ..stream.session import Camera
from .label_sets import LabelSetCalls
from .sessions import SessionCalls


class AdaptationService(LabelSetCalls, SessionCalls):
    """The doors of the house. Errors are raised: `Calls` around it makes statuses of them.

    `load()` is how many seconds of work wait, which streams are told.
    """

    def __init__(
        self,
        engine: Engine,
        text_spaces: TextSpaceCache,
        sessions: Sessions,
        archive: SessionPersistence,
        terms: Terms,
        load: Callable[[], float],
        observe: Observe = ignore,
    ) -> None:
        LabelSetCalls.__init__(self, text_spaces, terms)
        SessionCalls.__init__(self, sessions, archive, terms)
        self._engine, self._load, self._observe, self._cameras = engine, load, observe, set[Camera]()
        self._strategies, self._reducers = Pace(), Pace()
        self.buffered = BufferTotals(most=terms.limits.all_streams_bytes)  # frames of all streams that wait at the door

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        arrived = time.monotonic()
        remaining = cast("float | None", context.time_remaining())  # the stubs forget None: no deadline
        deadline = None if remaining is None else arrived + remaining
        known, client = self._text_spaces.labels, client_of(context.peer())
        asked = asked_of(
            request, known, self._terms, arrived, deadline, client, trace_of(context.invocation_metadata())
        )
        await self._archive.load(OWNER, asked.request.session)
        try:
            report = await self._classify(asked.request)
            await self._archive.before_reply(OWNER, asked.request.session)
            return response(report, asked.top_k, self._terms)
        except TTAError as error:
            raise asked.origin.of(error) from error

    async def ClassifyStream(
        self, request_iterator: AsyncIterator[pb.ClassifyStreamRequest], context: Context
    ) -> AsyncIterator[pb.ClassifyStreamResponse]:
        messages = aiter(request_iterator)
        opened = await self._opened(await self._first(messages))
        await self._archive.load(OWNER, opened.session, opening=True, named=opened.named)
        hold = self._sessions.lease(OWNER, opened.session, opened.named)
        opened = replace(
            opened,
            session=hold.session,
            client=client_of(context.peer()),
            trace=trace_of(context.invocation_metadata()),
        )
        camera = Camera(opened, hold, self._classify, self._load, self._terms, self._observe, self.buffered)
        whenever_done(context, lambda _: self._gone(camera))
        self._cameras.add(camera)

        def interpret(message: Any, last: int) -> Frame:
            return frame_of(message, opened, last, self._text_spaces.labels, self._terms, time.monotonic())

        async for reply in camera.replies(messages, interpret):
            yield reply
        await self._archive.save(OWNER, hold.session)  # so that the next server has all of it

    def drain(self, seconds: float) -> None:
        """Tells every open stream that this server stops in `seconds`, and how to go on elsewhere."""
        for camera in self._cameras:
            camera.drain(seconds, self._archive.resume_token(OWNER, camera.session))

    async def ListStrategies(self, request: pb.ListStrategiesRequest, context: Context) -> pb.ListStrategiesResponse:
        entries = descriptions(catalogue.strategies, self._strategies.of, self._terms.limits.parameters)
        return pb.ListStrategiesResponse(strategies=entries, default_name=self._terms.strategy)

    async def ListReducers(self, request: pb.ListReducersRequest, context: Context) -> pb.ListReducersResponse:
        entries = descriptions(catalogue.reducers, self._reducers.of, self._terms.limits.parameters)
        return pb.ListReducersResponse(reducers=entries, default_name=self._terms.reducer)

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        return server_info(self._terms)

    async def _classify(
        self,
        request: Request,
        *,
        at_the_door: Callable[[], Request] | None = None,
        meanwhile: Callable[[], Request] | None = None,
    ) -> Report:
        report = await self._engine.classify(request, take=at_the_door, peek=meanwhile)
        self._strategies.saw(report.strategy.name, report.seconds["total"])
        self._reducers.saw(report.request.reduction.reducer.name, report.seconds.get("encode", 0.0))
        return report

    async def _first(self, messages: AsyncIterator[pb.ClassifyStreamRequest]) -> pb.ClassifyStreamRequest:
        """Whoever opens a stream and says nothing costs a task and a socket, so not for long."""
        patience = self._terms.limits.first_message
        try:
            async with asyncio.timeout(patience):
                return await anext(messages, pb.ClassifyStreamRequest())
        except TimeoutError:
            raise BadRequest(f"nothing came for {patience:g} s; the first message opens the stream", "open") from None

    async def _opened(self, message: pb.ClassifyStreamRequest) -> Opened:
        """What is wrong with the opening ends the stream, a prompt that does not fit included."""
        opened = opened_of(message, self._text_spaces.labels, self._terms, partial(self._archive.resume, OWNER))
        try:
            if opened.labels:
                await self._text_spaces.get(opened.labels)
        except TTAError as error:
            raise Origin(image="", labels=opened.labels_path, options="open.options").of(error) from error
        return opened

    def _gone(self, camera: Camera) -> None:
        self._cameras.discard(camera)
        camera.close()
