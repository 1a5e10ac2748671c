"""`tta.v1.AdaptationService`: each method parses its message, calls `serving` and makes the response."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core import catalogue
from ..core.errors import BadRequest, Overloaded, TTAError
from ..core.events import Observe, ignore
from ..core.lessons import LessonRequest, LessonResult
from ..core.moving_average import MovingAverage
from ..core.request import Encoded, PendingRequest, Raw, Report
from ..serving.admission.claims import Claim
from ..serving.admission.controller import AdmissionController
from ..serving.engine import Engine
from ..serving.persistence.service import SessionPersistence
from ..serving.pipeline.switches import StrategySwitches
from ..serving.sessions.sessions import Sessions
from ..serving.streams import BufferTotals
from ..serving.teaching import Teaching
from ..serving.text.cache import TextSpaceCache
from ..serving.text.label_sets import LabelSets
from ..wire.catalogue import make_descriptions, make_server_info
from ..wire.field_paths import FieldOrigins
from ..wire.identity import Caller, Role, current_caller
from ..wire.lessons import StreamLesson, parse_stream_lesson
from ..wire.requests import ParsedRequest, parse_request, trace_of
from ..wire.responses import make_response
from ..wire.server_info import ServerInfo
from ..wire.stream_requests import Frame, StreamConfig, parse_frame, parse_open
from ..wire.v1 import tta_pb2 as pb
from .audit import Audit, MayChange, allow
from .context import Context
from .embeddings import EmbeddingMethods
from .label_sets import LabelSetMethods
from .lessons import LessonMethods
from .operators import OperatorMethods
from .permits import PERMITS
from .sessions import SessionMethods
from .stream import StreamHandler


class AdaptationService(EmbeddingMethods, LabelSetMethods, SessionMethods, LessonMethods, OperatorMethods):
    """The methods of the service. They raise `TTAError`, of which each transport makes its own kind of reply.

    `load()` is the queued work in seconds, which streams report to their clients. `may_change()` comes before what goes
    into the audit log.
    """

    def __init__(
        self,
        engine: Engine,
        teaching: Teaching,
        text_spaces: TextSpaceCache,
        label_sets: LabelSets,
        sessions: Sessions,
        persistence: SessionPersistence,
        switches: StrategySwitches,
        server_info: ServerInfo,
        load: Callable[[], float],
        observe: Observe = ignore,
        may_change: MayChange = allow,
    ) -> None:
        audit = Audit(observe, may_change)
        EmbeddingMethods.__init__(self, engine, text_spaces, server_info)
        LabelSetMethods.__init__(self, label_sets, server_info, audit)
        SessionMethods.__init__(self, sessions, persistence, server_info, audit)
        LessonMethods.__init__(self, teaching, label_sets, persistence, server_info, audit)
        OperatorMethods.__init__(self, switches, persistence.make_eraser(label_sets), audit)
        self.server_info, self.permits = server_info, AdmissionController(PERMITS)
        self._engine, self._text_spaces, self._load, self._observe = engine, text_spaces, load, observe
        self._streams = dict[StreamHandler, Caller]()
        self._strategies = defaultdict[str, MovingAverage[float]](partial(MovingAverage, 20))  # seconds by name
        self._reducers = defaultdict[str, MovingAverage[float]](partial(MovingAverage, 20))
        self.buffered = BufferTotals(max_bytes=server_info.limits.all_streams_bytes)  # frames that wait, of all streams

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Answer one image."""
        arrived, left = time.monotonic(), context.time_remaining()
        deadline, trace = None if left is None else arrived + left, trace_of(context.invocation_metadata())
        return (await self.answer(self.parse(request, arrived, deadline, trace)))[0]

    def parse(
        self,
        request: pb.ClassifyRequest,
        arrived: float,
        deadline: float | None,
        trace: str,
        image: Encoded | Raw | None = None,
    ) -> ParsedRequest:
        """The request of the present caller, as `parse_request` makes it."""
        find_labels, caller = partial(self._label_sets.labels, current_caller().owner), current_caller()
        return parse_request(request, find_labels, self.server_info, arrived, deadline, caller, trace, image)

    async def answer(self, parsed: ParsedRequest) -> tuple[pb.ClassifyResponse, Report]:
        """The answer to one image, and how it came about."""
        owner, stored = parsed.request.owner, parsed.request.session if self._persistence.store else ""
        async with self._persistence.use(owner, stored, parsed.request.group):
            try:
                report = await self._classify(parsed.request)
                response = make_response(report, parsed.top_k, self._server_info)
            except TTAError as error:
                raise parsed.origin.locate(error) from error
        if stored:  # not before the block's end, for which a session waits that leaves
            await self._persistence.before_reply(owner, stored)
        return response, report

    async def ClassifyStream(
        self, request_iterator: AsyncIterator[pb.ClassifyStreamRequest], context: Context
    ) -> AsyncIterator[pb.ClassifyStreamResponse]:
        """Answer the frames of one camera, in order, within one session."""
        messages, caller = aiter(request_iterator), current_caller()
        find_labels, owner = partial(self._label_sets.labels, caller.owner), caller.owner
        config = await self._open_stream(await self._first_message(messages), caller)
        await self._persistence.load(owner, config.session, opening=True, named=config.named, group=config.group)
        open_already = sum(one.client == caller.client for one in self._streams.values())
        if (most := self.server_info.limits.client_streams) and open_already >= most:
            raise Overloaded(f"{most} streams of yours are open already").of_quota("limits.client_streams")
        lease = self._sessions.lease(owner, config.session, config.named, config.group)
        trace = trace_of(context.invocation_metadata())
        config = replace(config, session=lease.session, caller=caller, trace=trace)

        async def teach(lesson: LessonRequest) -> LessonResult:
            caller.require(Role.TEACH, "a lesson")
            with await self.permits.acquire(Claim(1, client=caller.client)):
                result = await self.teach_lesson(caller, lease.session, lesson)
                stored = await self._persistence.save_lessons(owner, lease.session)  # before the teacher has a reply
                return replace(result, stored=stored)

        handler = StreamHandler(
            config, lease, self._classify, teach, self._load, self._server_info, self._observe, self.buffered
        )
        context.add_done_callback(partial(self._close_stream, handler))
        self._streams[handler] = caller

        def interpret(message: Any, last: int) -> Frame | StreamLesson:
            if message.WhichOneof("kind") == "lesson":
                return parse_stream_lesson(message.lesson, find_labels, self._server_info, config)
            return parse_frame(message, config, last, find_labels, self._server_info, time.monotonic())

        async for reply in handler.replies(messages, interpret):
            yield reply
        await self._persistence.save(owner, lease.session)  # the next server then has all frames of the session

    def drain(self, seconds: float) -> None:
        """Announce to every open stream that this server stops in `seconds`, with a token to resume elsewhere."""
        for handler, caller in self._streams.items():
            handler.drain(seconds, self._persistence.resume_token(caller.owner, handler.session))

    async def ListStrategies(self, request: pb.ListStrategiesRequest, context: Context) -> pb.ListStrategiesResponse:
        """Describe the strategies, with the recent mean seconds of a request."""
        limits, disabled = self._server_info.limits.parameters, self._switches.disabled
        entries = make_descriptions(catalogue.strategies, self._strategies, limits, disabled)
        return pb.ListStrategiesResponse(strategies=entries, default_name=self._server_info.strategy)

    async def ListReducers(self, request: pb.ListReducersRequest, context: Context) -> pb.ListReducersResponse:
        """Describe the reducers, with the recent mean seconds of encoding."""
        entries = make_descriptions(catalogue.reducers, self._reducers, self._server_info.limits.parameters)
        return pb.ListReducersResponse(reducers=entries, default_name=self._server_info.reducer)

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Describe the model, the device and the limits."""
        return make_server_info(self._server_info)

    async def _classify(self, pending: PendingRequest) -> Report:
        report = await self._engine.classify(pending)
        self._strategies[report.strategy.name].add(report.seconds["total"])
        self._reducers[report.request.reduction.reducer.name].add(report.seconds.get("encode", 0.0))
        return report

    async def _first_message(self, messages: AsyncIterator[pb.ClassifyStreamRequest]) -> pb.ClassifyStreamRequest:
        """The message that opens the stream. It has a time limit, since a silent stream costs a task and a socket."""
        limit = self._server_info.limits.first_message
        try:
            async with asyncio.timeout(limit):
                return await anext(messages, pb.ClassifyStreamRequest())
        except TimeoutError:
            raise BadRequest(f"nothing came for {limit:g} s; the first message opens the stream", "open") from None

    async def _open_stream(self, message: pb.ClassifyStreamRequest, caller: Caller) -> StreamConfig:
        """The stream's configuration, its labels encoded. Raises what ends the stream, such as a prompt too long."""
        find_labels = partial(self._label_sets.labels, caller.owner)
        resume = partial(self._persistence.resume, caller.owner)
        config = parse_open(message, find_labels, self._server_info, resume)
        try:
            if config.labels:
                await self._text_spaces.get(config.labels, caller.client)
        except TTAError as error:
            raise FieldOrigins(image="", labels=config.labels_path, options="open.options").locate(error) from error
        return config

    def _close_stream(self, handler: StreamHandler, _: object) -> None:
        self._streams.pop(handler, None)
        handler.close()
