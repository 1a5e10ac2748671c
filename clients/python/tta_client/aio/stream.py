"""A camera's stream for asyncio: one task sends, the caller's own loop reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError, labels_are_gone
from ..protocol.stream_state import NEWS, Course
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import AsyncReplies
from .sender import AsyncFeed
from .status import Endings

Result = FrameAnswer | FrameFailure


async def unlimited() -> Limits:
    return UNLIMITED


@dataclass(frozen=True, slots=True)
class AsyncLine:
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

    def __init__(self, line: AsyncLine, frames: Iterable[Any] | AsyncIterable[Any], course: Course) -> None:
        self._course = course
        self._answers = _run(line, AsyncFeed(course, frames, line.identify, line.limits))

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
        return self._course.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._course.resume_token

    @property
    def statistics(self) -> Statistics:
        return self._course.statistics


async def _run(line: AsyncLine, feed: AsyncFeed) -> AsyncGenerator[Result]:
    """Call after call, until all is answered."""
    feed.start()
    try:
        while True:
            try:
                async for result in (call := _call(line, feed)):
                    yield result
                goes_on = await feed.ended()
            except TTAClientError as error:
                for failure in feed.due(all=not feed.course.blocking):  # no answer will come before it
                    yield failure
                try:
                    goes_on = await feed.lost(error)
                except TTAClientError:
                    for failure in feed.due(all=True):
                        yield failure
                    raise
            finally:
                await call.aclose()
            if not goes_on:
                break
            line.forget()
        for failure in feed.due(all=True):
            yield failure
        if feed.failure is not None:
            raise feed.failure
    finally:
        await feed.stop()


async def _call(line: AsyncLine, feed: AsyncFeed) -> AsyncGenerator[Result]:
    """One call, from its opening to its end. Raises what ended it."""
    ended, endings, replies, reply = await _opened(line, feed)
    try:
        feed.opened()
        while reply is not None:
            for result in feed.due() if reply is NEWS else feed.read(reply):
                yield result
            reply = await replies.next()
    except grpc.RpcError:
        raise await endings.error() from None
    finally:
        feed.end(ended)
        await replies.close()


async def _opened(line: AsyncLine, feed: AsyncFeed) -> tuple[asyncio.Event, Endings, AsyncReplies, Any]:
    """The end of its request side, how the call ends, its replies, the first of them.

    Registers the labels anew when the service has forgotten them.
    """
    for last in (False, True):
        ended = asyncio.Event()
        # Iterators on both sides: a write() that fails beside a read() makes grpcio lose the replies that still wait.
        running = line.call(feed.requests(await line.opening(feed.course.resume_token), ended))
        endings, replies = Endings(running), feed.dialled(running)
        try:
            if (reply := await replies.next(news=False)) is None:
                raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            return ended, endings, replies, reply
        except BaseException as error:
            feed.end(ended)
            await replies.close()
            if not isinstance(error, grpc.RpcError):
                raise
            told = await endings.error()
            if last or not labels_are_gone(told):
                raise told from None
            line.forget()
    raise AssertionError("unreachable")
