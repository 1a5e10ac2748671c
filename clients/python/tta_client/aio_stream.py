"""A camera's stream for asyncio: one task sends, the caller's own loop reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc

from .aio_endings import Endings
from .answers import FrameAnswer, FrameFailure, SessionStatus
from .errors import TTAClientError, labels_are_gone
from .flight import Flight
from .frames import frame_message, let_go
from .labels import Labels
from .v1 import tta_pb2

Opening = Callable[[bool], Awaitable[tta_pb2.ClassifyStreamRequest]]
Call = Callable[[AsyncIterator[Any]], Any]
Identify = Callable[[Labels], Awaitable[str]]
END = object()


class AsyncStream:
    """`async for` over it for answers and failures, in the order of the frames; `async with` ends it for certain.

    Frames of an ordinary iterable are taken in a thread, so that a slow camera never stops the loop. Raises as
    `Stream` does.
    """

    def __init__(
        self,
        call: Call,
        opening: Opening,
        identify: Identify,
        frames: Iterable[Any] | AsyncIterable[Any],
        in_flight: int | None,
    ) -> None:
        self._flight = Flight(in_flight)
        self._answers = _run(call, opening, identify, frames, self._flight)

    def __aiter__(self) -> AsyncIterator[FrameAnswer | FrameFailure]:
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
        return self._flight.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._flight.resume_token


async def _run(
    call: Call,
    opening: Opening,
    identify: Identify,
    frames: Iterable[Any] | AsyncIterable[Any],
    flight: Flight,
) -> AsyncGenerator[FrameAnswer | FrameFailure]:
    moved = asyncio.Event()
    ready, running, endings, replies, reply = await _opened(call, opening)
    sender = asyncio.create_task(_send(ready, identify, frames, flight, moved))
    try:
        while reply is not None:
            result = flight.read(reply)
            moved.set()
            if result is not None:
                yield result
            reply = await anext(replies, None)
        await sender  # raises what the frames raised
    except grpc.RpcError:
        raise await endings.error() from None
    finally:
        running.cancel()
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        ready.put_nowait(END)


async def _opened(call: Call, opening: Opening) -> tuple[asyncio.Queue[Any], Any, Endings, Any, Any]:
    """The queue of requests, the call, how it ends, its replies, the first of them; registers forgotten labels anew."""
    for again in (False, True):
        ready = asyncio.Queue[Any]()
        # Iterators on both sides: a write() that fails beside a read() makes grpcio lose the replies that still wait.
        running = call(_requests(await opening(again), ready))
        endings = Endings(running)
        try:
            replies = aiter(running)
            return ready, running, endings, replies, await anext(replies)
        except StopAsyncIteration:
            raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word") from None
        except grpc.RpcError:
            told = await endings.error()
            if again or not labels_are_gone(told):
                raise told from None
            ready.put_nowait(END)  # nobody asks for the request side of a call that failed
        except BaseException:
            running.cancel()
            raise
    raise AssertionError("unreachable")


async def _requests(opening: Any, ready: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    yield opening
    while True:
        message = await ready.get()
        if message is not END:
            yield message
        ready.task_done()  # it is written: the next one may be made
        if message is END:
            return


async def _send(
    ready: asyncio.Queue[Any], identify: Identify, frames: Any, flight: Flight, moved: asyncio.Event
) -> None:
    source: Any = aiter(frames) if isinstance(frames, AsyncIterable) else _in_thread(iter(frames))
    try:
        while True:
            while flight.full:
                moved.clear()
                await moved.wait()
            try:
                picture = await anext(source)
            except StopAsyncIteration:
                return
            frame = flight.frame(picture)
            message = frame_message(frame, "" if frame.labels is None else await identify(frame.labels))
            flight.enter(frame)
            ready.put_nowait(message)
            await ready.join()
    finally:
        ready.put_nowait(END)
        if hasattr(source, "aclose"):
            await source.aclose()


async def _in_thread(frames: Any) -> AsyncIterator[Any]:
    try:
        while (picture := await asyncio.to_thread(next, frames, END)) is not END:
            yield picture
    finally:
        let_go(frames)
