"""A stream: workers send and read, and the caller iterates over the results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError, labels_are_gone
from ..protocol.lessons import StreamLesson
from ..protocol.stream_state import Result, StreamState
from ..statistics import Statistics
from ..types.answers import SessionStatus
from ..types.frames import Image
from ..types.labels import Labels
from ..types.lessons import LessonResult
from ..types.limits import Limits
from ..v1 import tta_pb2
from .call import AsyncCall
from .runtime import END, Frames, Future
from .sender import AsyncSender


@dataclass(frozen=True, slots=True)
class AsyncStreamTransport:
    """The calls to the service that a stream makes."""

    call: Callable[[AsyncIterator[Any]], Any]
    opening: Callable[[bytes], Awaitable[tta_pb2.ClassifyStreamRequest]]  # takes a resume token
    identify: Callable[[Labels], Awaitable[str]]
    forget: Callable[[], None]  # the label sets and limits of the last server
    limits: Callable[[], Awaitable[Limits]]


class AsyncStream:
    """An iterator over answers and failures, in the order of the frames; leaving its block closes it.

    Workers pull the frames, only while the service accepts them. Iteration raises `TTAClientError` when the stream as
    a whole fails, and the error that the source of the frames raised, after the outstanding answers.
    """

    def __init__(self, transport: AsyncStreamTransport, frames: Frames, state: StreamState) -> None:
        self._state = state
        self._sender = AsyncSender(state, frames, transport.identify, transport.limits)
        self._answers = _iterate(transport, self._sender)

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._answers

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the call and closes the source."""
        await self._answers.aclose()
        await self._sender.stop()

    def teach(
        self,
        *,
        label: str | None,
        frame: int | None = None,
        request_id: str = "",
        example: str = "",
        image: Image | None = None,
        labels: Labels | None = None,
    ) -> Future[LessonResult]:
        """Says what one picture shows, as the client's `teach` does; an `image` has the stream's labels by default.

        The lesson goes between the frames: those that are sent after it are answered with it. The future has its result
        when the service acknowledges it, while the stream is iterated over or its caller waits; or it raises the
        `TTAClientError` of a lesson that was refused, or not acknowledged before the stream's end. A lesson that a lost
        call leaves without a result is sent again.
        """
        future = Future[LessonResult]()
        self._sender.results.teach(StreamLesson(label, frame, request_id, example, image, labels, future))
        return future

    @property
    def session(self) -> SessionStatus | None:
        """The session's last status; None before the first reply."""
        return self._state.session

    @property
    def resume_token(self) -> bytes:
        """Resumes the stream, here or on another service with the same store; empty until the service drains."""
        return self._state.resume_token

    @property
    def statistics(self) -> Statistics:
        """The counters of the stream and its source."""
        return self._state.statistics


async def _iterate(transport: AsyncStreamTransport, sender: AsyncSender) -> AsyncGenerator[Result]:
    async def make_calls() -> None:
        await _make_calls(transport, sender)

    sender.start(make_calls)
    try:
        while (result := await sender.results.take()) is not END:
            yield result
    finally:
        await sender.stop()


async def _make_calls(transport: AsyncStreamTransport, sender: AsyncSender) -> None:
    """Makes calls until all frames are answered. Raises what ends the stream."""
    another_call = True
    while another_call:
        try:
            call = await _open(transport, sender)
            try:
                sender.on_call_opened()
                while (results := await sender.results.next_results(call)) is not None:
                    sender.results.deliver(results)
            except grpc.RpcError:
                raise await call.status.error() from None
            finally:
                await call.close()
            another_call = await sender.on_call_ended()
        except TTAClientError as error:
            # no answer will come before these
            sender.results.deliver(sender.take_failures(all=not sender.state.blocking))
            try:
                another_call = await sender.on_call_lost(error)
            except TTAClientError:
                sender.results.deliver(sender.take_failures(all=True))
                raise
        if another_call:
            transport.forget()
    sender.results.deliver(sender.take_failures(all=True))
    if sender.failure is not None:
        raise sender.failure


async def _open(transport: AsyncStreamTransport, sender: AsyncSender) -> AsyncCall:
    """A call to which the service has replied. Registers the labels again when the service does not have them."""
    for last in (False, True):
        call = sender.start_call(transport.call, await transport.opening(sender.state.resume_token))
        try:
            if not await call.opens():
                raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            return call
        except BaseException as error:
            await call.close()
            if not isinstance(error, grpc.RpcError):
                raise
            failure = await call.status.error()
            if last or not labels_are_gone(failure):
                raise failure from None
            transport.forget()
    raise AssertionError("unreachable")
