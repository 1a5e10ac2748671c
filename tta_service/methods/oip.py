"""The methods of `inference.GRPCInferenceService`, the Open Inference Protocol: messages in and out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

from ..core.errors import BadRequest, TTAError
from ..core.events import Observe, Refused, ignore
from ..wire.identity import current_owner
from ..wire.oip.limits import OipLimits
from ..wire.oip.models import (
    EXTENSIONS,
    PLATFORM,
    check_model,
    has_model,
    make_config,
    make_index,
    make_metadata,
    model_names,
)
from ..wire.oip.requests import InferRequest, facts_of, parse_infer
from ..wire.oip.responses import Answer, make_infer_response
from ..wire.requests import ParsedRequest, trace_of
from ..wire.status import sentence_of, to_tta_error
from ..wire.v1 import open_inference_pb2 as oip
from .context import Context
from .model_statistics import ModelStatistics
from .oip_status import ServerStatus
from .oip_stream import InferStream
from .sequences import SequenceOrder
from .service import AdaptationService

NO_START = "sequence {} of model {} must begin with a frame that has the START flag (sequence_start)"


class OpenInference(ServerStatus):
    """The protocol's calls, answered by `service`. They raise `TTAError`."""

    def __init__(
        self,
        service: AdaptationService,
        serving: Callable[[], bool],
        observe: Observe = ignore,
        limits: OipLimits = OipLimits(),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(serving)
        self._service, self._observe, self._oip = service, observe, limits
        self._info, self._limits = service.server_info, service.server_info.limits
        self._statistics = ModelStatistics()
        self._order = SequenceOrder(self._limits.buffer)
        self._streams = set[InferStream]()

    async def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Context) -> oip.ServerMetadataResponse:
        """Name, version and extensions."""
        return oip.ServerMetadataResponse(name=PLATFORM, version=self._info.version, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        """What the model takes and gives."""
        return make_metadata(check_model(request.name, request.version), self._info)

    async def ModelConfig(self, request: oip.ModelConfigRequest, context: Context) -> oip.ModelConfigResponse:
        """The same as Triton describes it, with batches and sequences."""
        name = check_model(request.name, request.version)
        return oip.ModelConfigResponse(
            config=make_config(name, self._info, self._oip.batch, self._service.session_idle)
        )

    async def ModelStatistics(
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        """Counts and times of one model, or of all of them."""
        names = [check_model(request.name, request.version)] if request.name else model_names()
        return self._statistics.describe(names)

    async def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        """All models."""
        return make_index(self.serving(), request.ready)

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        """Answer one picture, or several."""
        arrived, remaining = time.monotonic(), context.time_remaining()
        deadline = None if remaining is None else arrived + remaining
        return await self._infer(request, arrived, deadline, trace_of(context.invocation_metadata()))

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[oip.ModelInferRequest], context: Context
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        """Answer each request in its order. An error is one request's; `triton_grpc_error: true` makes it the last."""
        metadata = list(context.invocation_metadata() or ())
        fatal, trace = ("triton_grpc_error", "true") in metadata, trace_of(metadata)
        answer = partial(self._answer_in_stream, trace=trace, fatal=fatal)
        stream = InferStream(answer, self._limits.buffer, self._limits.stream_bytes, self._service.buffered)
        self._streams.add(stream)
        context.add_done_callback(partial(self._close_stream, stream))
        async for reply in stream.replies(aiter(request_iterator)):
            yield reply

    async def SystemSharedMemoryUnregister(
        self, request: oip.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> oip.SystemSharedMemoryUnregisterResponse:
        """Nothing is registered here; perf_analyzer asks all the same."""
        return oip.SystemSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryUnregister(
        self, request: oip.CudaSharedMemoryUnregisterRequest, context: Context
    ) -> oip.CudaSharedMemoryUnregisterResponse:
        """The same."""
        return oip.CudaSharedMemoryUnregisterResponse()

    def drain(self) -> None:
        """Let all streams answer what they have read, and then end with `NotReady`."""
        for stream in self._streams:
            stream.drain()

    async def _answer_in_stream(
        self, message: oip.ModelInferRequest, trace: str, fatal: bool
    ) -> oip.ModelStreamInferResponse:
        try:
            reply = await self._infer(message, time.monotonic(), None, trace)
            return oip.ModelStreamInferResponse(infer_response=reply)
        except Exception as error:
            if fatal:
                raise
            failure = to_tta_error(error)
        strategy, id, session = facts_of(message)
        self._observe(Refused(failure, "ModelStreamInfer", strategy, "", trace, id, session, None, current_owner()))
        reply = oip.ModelStreamInferResponse(error_message=sentence_of(failure))
        reply.infer_response.id, reply.infer_response.model_name = message.id, message.model_name
        return reply

    async def _infer(
        self, message: oip.ModelInferRequest, arrived: float, deadline: float | None, trace: str
    ) -> oip.ModelInferResponse:
        try:
            request = parse_infer(message, self._info, self._oip.batch)
            ends = [deadline, None if request.timeout is None else arrived + request.timeout]
            until = min((end for end in ends if end is not None), default=None)
            pictures = list[ParsedRequest]()
            for place, image in enumerate(request.images):
                with request.locate_errors(place):
                    picture = request.of_picture(place)
                    pictures.append(self._service.parse(picture, arrived, until, trace, image))
            answers = await self._in_sequence(request, pictures, until)
            reply = make_infer_response(request, answers)
        except Exception:
            if has_model(message.model_name, message.model_version):
                self._statistics.add_failure(message.model_name, time.monotonic() - arrived)
            raise
        slowest = max((report.seconds for _, report in answers), key=lambda seconds: seconds["total"])
        self._statistics.add_success(request.model, len(answers), slowest)
        return reply

    async def _in_sequence(
        self, request: InferRequest, pictures: list[ParsedRequest], deadline: float | None
    ) -> list[Answer]:
        """The answers, in the turn of the frame if it is one of a sequence, which is a session of its name."""
        step = request.sequence
        if step is None:
            return await self._answer(request, pictures)
        async with self._order.turn(current_owner(), step.id, deadline):
            with request.locate_errors(0):
                is_open = await self._service.begin_session(step.id, anew=step.start)
            if self._oip.strict and not (is_open or step.start):
                raise BadRequest(NO_START.format(step.id, request.model), "parameters.sequence_start")
            again = False  # whether the caller may send the same frame again
            try:
                return await self._answer(request, pictures)
            except TTAError as error:
                again = error.retry_after is not None
                raise
            finally:
                if step.end and not again:
                    self._service.end_session(step.id)

    async def _answer(self, request: InferRequest, pictures: list[ParsedRequest]) -> list[Answer]:
        """The answers to all pictures, or the error of the first that has one."""

        async def answer(place: int) -> Answer:
            with request.locate_errors(place):
                return await self._service.answer(pictures[place])

        if len(pictures) == 1:
            return [await answer(0)]
        tasks = [asyncio.ensure_future(answer(place)) for place in range(len(pictures))]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _close_stream(self, stream: InferStream, _: object) -> None:
        self._streams.discard(stream)
        stream.close()
