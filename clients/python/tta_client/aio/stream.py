"""A camera's stream for asyncio: one task sends, the caller's own loop reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError, labels_are_gone
from ..protocol.stream_state import FAILURE_DUE, StreamState
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import AsyncReplies
from .sender import AsyncSender
from .status import CallStatus

Result = FrameAnswer | FrameFailure


async def unlimited() -> Limits:
    return UNLIMITED


@dataclass(frozen=True, slots=True)
class AsyncStreamTransport:
    """How a stream reaches the service."""

    call: Callable[[AsyncIterator[Any]], Any]
    opening: Callable[[bytes], Awaitable[tta_pb2.ClassifyStreamRequest]]  # of a resume token
    identify: Callable[[Labels], Awaitable[str]]
    forget: Callable[[], None]  # what is known of the service
    limits: Callable[[], Awaitable[Limits]] = unlimited


class AsyncStream:
    """`async for` over it for answers and failures, in the order of the frames; `async with` ends it for certain.

    Raises as `Stream` does.
    """

    def __init__(
        self, transport: AsyncStreamTransport, frames: Iterable[Any] | AsyncIterable[Any], state: StreamState
    ) -> None:
        self._state = state
        self._answers = _run(transport, AsyncSender(state, frames, transport.identify, transport.limits))

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._answers

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._answers.aclose()

    @property
    def session(self) -> SessionStatus | None:
        """What the service said last about the session; None before its first reply."""
        return self._state.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._state.resume_token

    @property
    def statistics(self) -> Statistics:
        return self._state.statistics


async def _run(transport: AsyncStreamTransport, sender: AsyncSender) -> AsyncGenerator[Result]:
    """Call after call, until all is answered."""
    sender.start()
    try:
        while True:
            try:
                async for result in (call := _call(transport, sender)):
                    yield result
                another_call = await sender.on_call_ended()
            except TTAClientError as error:
                for failure in sender.take_failures(all=not sender.state.blocking):  # no answer will come before it
                    yield failure
                try:
                    another_call = await sender.on_call_lost(error)
                except TTAClientError:
                    for failure in sender.take_failures(all=True):
                        yield failure
                    raise
            finally:
                await call.aclose()
            if not another_call:
                break
            transport.forget()
        for failure in sender.take_failures(all=True):
            yield failure
        if sender.failure is not None:
            raise sender.failure
    finally:
        await sender.stop()


async def _call(transport: AsyncStreamTransport, sender: AsyncSender) -> AsyncGenerator[Result]:
    """One call, from its opening to its end. Raises what ended it."""
    ended, status, replies, reply = await _open(transport, sender)
    try:
        sender.on_call_opened()
        while reply is not None:
            for result in sender.take_failures() if reply is FAILURE_DUE else sender.read(reply):
                yield result
            reply = await replies.next()
    except grpc.RpcError:
        raise await status.error() from None
    finally:
        sender.end(ended)
        await replies.close()


async def _open(
    transport: AsyncStreamTransport, sender: AsyncSender
) -> tuple[asyncio.Event, CallStatus, AsyncReplies, Any]:
    """The end of its request side, how the call ends, its replies, the first of them.

    Registers the labels anew when the service has forgotten them.
    """
    for last in (False, True):
        ended = asyncio.Event()
        # Iterators on both sides: a write() that fails beside a read() makes grpcio lose the replies that still wait.
        running = transport.call(sender.requests(await transport.opening(sender.state.resume_token), ended))
        status, replies = CallStatus(running), sender.on_call_started(running)
        try:
            if (reply := await replies.next(news=False)) is None:
                raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            return ended, status, replies, reply
        except BaseException as error:
            sender.end(ended)
            await replies.close()
            if not isinstance(error, grpc.RpcError):
                raise
            failure = await status.error()
            if last or not labels_are_gone(failure):
                raise failure from None
            transport.forget()
    raise AssertionError("unreachable")
