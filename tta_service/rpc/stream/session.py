"""One camera: frames come in through a policy buffer, answers go out in their order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

from ...core.errors import NotReady, TTAError
from ...core.events import Observe, Received, Refused, Streaming
from ...core.request import Report, Request
from ...serving.sessions.lease import SessionLease
from ...serving.streams.frame_buffer import BufferTotals, FrameBuffer, FrameTicket, Policy
from ...serving.streams.rate_limit import RateLimiter
from ...wire.server_info import Terms
from ...wire.status import known
from ...wire.stream_requests import Frame, Opened
from ...wire.stream_responses import Reply, answer, draining, failure, standing, told_once
from .flow_control import Allowance

T = TypeVar("T")
Interpret = Callable[[Any, int], Frame]  # (message, id of the frame before): raises what ends the stream


class Classify(Protocol):
    """The engine's door: `at_the_door` gives the newest request of the stream as soon as there is room, `meanwhile`
    what that would be now."""

    async def __call__(
        self,
        request: Request,
        *,
        at_the_door: Callable[[], Request] | None = None,
        meanwhile: Callable[[], Request] | None = None,
    ) -> Report: ...


class Camera:
    """An open stream. `replies` is read by the transport; `close` may be called at any time, and ends all of it.

    `LATEST` keeps one frame in the hallway, the other policies two, and the next one leaves the buffer only after an
    answer was accepted by the transport: so a slow receiver slows itself down and nobody else.
    """

    def __init__(
        self,
        opened: Opened,
        hold: SessionLease,
        classify: Classify,
        load: Callable[[], float],
        terms: Terms,
        observe: Observe,
        buffered: BufferTotals | None = None,
    ) -> None:
        self._hold, self._classify, self._load, self._terms, self._observe = hold, classify, load, terms, observe
        buffer, width = (1, 1) if opened.policy is Policy.LATEST else (opened.buffer, 2)
        most = terms.limits.stream_bytes
        self._frames: FrameBuffer[Frame] = FrameBuffer(opened.policy, buffer, most, observe, buffered)
        self._policy, self._trace = opened.policy.value, opened.trace
        self._room, self._allowance = asyncio.Semaphore(width), Allowance(buffer, width)
        self._throttle = RateLimiter(0.0 if opened.policy is Policy.BLOCK else terms.limits.stream_fps)
        self._outbox: asyncio.Queue[tuple[Awaitable[Reply | None], Callable[[], None]] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending: TTAError | None = None
        self._dropped = 0
        self._open = ExitStack()
        self._open.enter_context(hold)
        self._open.callback(self._frames.close)
        self._open.callback(observe, Streaming(self._policy, open=False))
        observe(Streaming(self._policy, open=True))

    async def replies(self, messages: AsyncIterator[Any], interpret: Interpret) -> AsyncIterator[Reply]:
        """The stream's standing, then answers in the order of the frames. Raises what ends the stream."""
        reader = self._spawn(self._read(messages, interpret))
        self._spawn(self._walk())
        self._spawn(self._watch(reader))
        if news := self._allowance.news(len(self._frames)):
            yield standing(self._hold.status(), *news, self._load())
        told = ""
        while (waiting := await self._outbox.get()) is not None:
            awaited, accepted = waiting
            if (reply := await awaited) is not None:
                told = told_once(reply, told)
                yield reply
            accepted()
            if news := self._allowance.news(len(self._frames)):
                yield standing(self._hold.status(), *news, self._load())
        if self._ending:
            raise self._ending

    @property
    def session(self) -> str:
        return self._hold.session

    def drain(self, seconds: float, token: bytes) -> None:
        """Tells the client to look for another server within `seconds`; until then all goes on."""
        told: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        told.set_result(draining(seconds, token))
        self._outbox.put_nowait((told, lambda: None))

    def close(self) -> None:
        """Leaves nothing behind. A frame that is being adapted runs to its end in its lane, unheard."""
        self._open.close()
        for task in self._tasks:
            task.cancel()

    async def _read(self, messages: AsyncIterator[Any], interpret: Interpret) -> None:
        """Drains the transport at once, whatever the hallway does.

        `BLOCK` lets it wait for room, every other policy only for a sender that floods us: then the windows of HTTP/2
        fill, and it is he who waits.
        """
        last = -1
        try:
            async for message in messages:
                frame = interpret(message, last)
                last = frame.id
                self._observe(Received(self._policy))
                await self._frames.put(frame, message.ByteSize())
                if rest := self._throttle.delay(time.monotonic()):
                    await asyncio.sleep(rest)
        except Exception as error:
            self._ending = self._ending or known(error)
        self._frames.finish()

    async def _walk(self) -> None:
        """Sends one frame after the other into the hallway, as long as answers are taken off our hands."""
        while True:
            await self._room.acquire()
            offer = await self._frames.ticket()
            if offer is None:
                return self._outbox.put_nowait(None)
            self._outbox.put_nowait((self._spawn(self._answer(offer)), self._room.release))

    async def _watch(self, reader: asyncio.Task[None]) -> None:
        """A newer stream may take the session, or its owner close it: what is in the hallway is still answered."""
        self._ending = await self._hold.wait_lost()
        reader.cancel()
        self._frames.close()

    async def _answer(self, offer: FrameTicket[Frame]) -> Reply | None:
        """The reply to whichever frame is first when the hallway has room; None: the stream has ended meanwhile."""
        began = time.monotonic()
        try:
            report = await self._classify(
                _request(offer.frame),
                at_the_door=lambda: _request(offer.take().frame),
                meanwhile=lambda: _request(offer.frame),
            )
            taken = offer.take()
            reply = answer(taken.frame, report, self._dropped + taken.dropped, self._terms)
        except Exception as error:
            return self._refuse(offer, known(error))
        self._dropped = 0
        self._allowance.answered(time.monotonic() - began)
        return reply

    def _refuse(self, offer: FrameTicket[Frame], error: TTAError) -> Reply | None:
        try:
            taken = offer.take()
        except NotReady:
            return None
        self._dropped += taken.dropped
        seen, strategy = taken.frame.blame(error)
        whose = (self._policy, self._trace, "", self.session, taken.frame.id)
        self._observe(Refused(seen, "ClassifyStream", strategy, *whose))
        return failure(taken.frame, seen)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _request(frame: Frame) -> Request:
    if isinstance(frame.asked, TTAError):
        raise frame.asked
    return frame.asked.request
