"""One open stream: frames wait in a buffer with a policy, answers leave in the order of the frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from ..core.errors import BadImage, NotReady, Overloaded, TTAError, UnknownExample
from ..core.events import Observe, Received, Refused, Streaming
from ..core.lessons import FrameRef, LessonRequest, LessonResult
from ..core.request import PendingRequest, Report
from ..serving.sessions.lease import SessionLease
from ..serving.streams import BufferTotals, FrameBuffer, FrameTicket, Policy
from ..wire.lessons import StreamLesson, make_result
from ..wire.responses import Reply, drop_repeated_unseen, make_answer, make_draining, make_failure, make_status
from ..wire.server_info import ServerInfo
from ..wire.status import to_tta_error
from ..wire.stream_requests import Frame, StreamConfig
from .flow_control import FramesInEngine, ReadingPace, StreamCredits

T = TypeVar("T")
MOST_AT_ONCE = 16
AT_ONCE = {Policy.LATEST: 1, Policy.BLOCK: MOST_AT_ONCE}  # frames in the engine, or answered and not accepted
UNREAD = 16  # replies to lessons that the client has not read
Interpret = Callable[[Any, int], Frame | StreamLesson]  # (message, last frame id); raises what ends the stream


class StreamHandler:
    """An open stream. The transport reads `replies`; `close` may be called at any time and ends all of it.

    `LATEST` has one frame in the engine, the policies that drop frames two, so that answers are fresh. `BLOCK` has as
    many as come and admission lets in, at most `MOST_AT_ONCE`: they share batches. Beyond that the next one leaves the
    buffer only after the transport has accepted an answer, so a slow receiver slows down only its own stream.
    """

    def __init__(
        self,
        config: StreamConfig,
        lease: SessionLease,
        classify: Callable[[PendingRequest], Awaitable[Report]],
        teach: Callable[[LessonRequest], Awaitable[LessonResult]],
        load: Callable[[], float],
        server_info: ServerInfo,
        observe: Observe,
        totals: BufferTotals | None = None,
    ) -> None:
        self._lease, self._classify, self._teach, self._load = lease, classify, teach, load
        self._server_info, self._observe = server_info, observe
        buffer, limits = 1 if config.policy is Policy.LATEST else config.buffer, server_info.limits
        self._buffer: FrameBuffer[Frame] = FrameBuffer(config.policy, buffer, limits.stream_bytes, observe, totals)
        self._policy, self._trace, self._owner = config.policy.value, config.trace, config.caller.owner
        self._slots, self._credits = asyncio.Semaphore(AT_ONCE.get(config.policy, 2)), StreamCredits(buffer)
        self._lessons, self._engine = asyncio.Semaphore(UNREAD), FramesInEngine()
        self._pace = ReadingPace(limits.stream_fps if config.policy is not Policy.BLOCK else 0.0)
        self._outbox: asyncio.Queue[tuple[Awaitable[Reply | None], Callable[[], None]] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending: TTAError | None = None
        self._dropped = 0
        self._exit_stack = ExitStack()
        self._exit_stack.enter_context(lease)
        self._exit_stack.callback(self._buffer.close)
        self._exit_stack.callback(observe, Streaming(self._policy, open=False))
        observe(Streaming(self._policy, open=True))

    async def replies(self, messages: AsyncIterator[Any], interpret: Interpret) -> AsyncIterator[Reply]:
        """The stream's status, then answers in the order of the frames. Raises what ends the stream."""
        reader = self._spawn(self._read(messages, interpret))
        self._spawn(self._dispatch())
        self._spawn(self._watch_lease(reader))
        if credits := self._credits.update(len(self._buffer)):
            yield make_status(self._lease.status(), *credits, self._load())
        last_label_set_id = ""
        while (waiting := await self._outbox.get()) is not None:
            awaited, accepted = waiting
            if (reply := await awaited) is not None:
                last_label_set_id = drop_repeated_unseen(reply, last_label_set_id)
                yield reply
            accepted()
            if credits := self._credits.update(len(self._buffer)):
                yield make_status(self._lease.status(), *credits, self._load())
        if self._ending:
            raise self._ending

    @property
    def session(self) -> str:
        """The id of the stream's session."""
        return self._lease.session

    def drain(self, seconds: float, token: bytes) -> None:
        """Ask the client to resume with `token` on another server within `seconds`; until then frames are answered."""
        self._send(make_draining(seconds, token))

    def close(self) -> None:
        """Free all that the stream holds. A frame in adaptation runs to its end in its lane; its answer is dropped."""
        self._exit_stack.close()
        for task in self._tasks:
            task.cancel()

    async def _read(self, messages: AsyncIterator[Any], interpret: Interpret) -> None:
        """Move every message from the transport to the buffer at once, however busy the engine is.

        With `BLOCK` the reader waits for space in the buffer, with other policies only when frames exceed the rate
        limit or are bad. HTTP/2's windows then fill, and the sender waits.
        """
        last = -1
        try:
            async for message in messages:
                self._lease.begin()
                frame = interpret(message, last)
                if isinstance(frame, StreamLesson):
                    await self._learn(frame)
                    continue
                last = frame.id
                self._observe(Received(self._policy))
                await self._buffer.put(frame, message.ByteSize())
                if delay := self._pace.delay(time.monotonic()):
                    await asyncio.sleep(delay)
        except Exception as error:
            self._ending = self._ending or to_tta_error(error)
        self._buffer.finish()

    async def _dispatch(self) -> None:
        """Send one frame after the other to the engine, as far as the transport accepts answers."""
        while True:
            await self._slots.acquire()
            ticket = await self._buffer.ticket()
            if ticket is None:
                return self._outbox.put_nowait(None)
            self._engine.begin()
            self._outbox.put_nowait((self._spawn(self._answer(ticket)), self._slots.release))

    async def _watch_lease(self, reader: asyncio.Task[None]) -> None:
        """End the stream when its session is lost, or nothing comes. Frames in the engine finish."""
        self._ending = await self._lease.wait_lost(self._server_info.limits.first_frame)
        reader.cancel()
        self._buffer.close()

    async def _answer(self, ticket: FrameTicket[Frame]) -> Reply | None:
        """The reply to the frame that is first once admission has space; None when the stream has ended by then."""
        began = time.monotonic()
        try:
            report = await self._engine.retry(
                partial(self._classify, ticket),
                lambda error: isinstance(error, Overloaded) and not ticket.taken and self._engine.frames > 1,
            )
            taken = ticket.take_frame()
            reply = make_answer(taken.frame, report, self._dropped + taken.dropped, self._server_info)
        except Exception as error:
            return self._refuse(ticket, to_tta_error(error))
        finally:
            self._engine.end()
        self._dropped = 0
        self._pace.add(bad=False)
        self._credits.add_answer(time.monotonic() - began, at_once=self._engine.frames + 1)
        return reply

    async def _learn(self, lesson: StreamLesson) -> None:
        """Frames that were sent after the lesson are read after it; unread replies keep back further lessons."""
        await self._lessons.acquire()
        try:
            reply = Reply(lesson=make_result(await self._teach_when_seen(lesson.request)))
        except Exception as error:
            reply = Reply(lesson=lesson.refuse(error))
        self._send(reply, self._lessons.release)

    async def _teach_when_seen(self, lesson: LessonRequest) -> LessonResult:
        """A lesson about a frame that has no answer yet waits for it."""

        def is_early(error: TTAError) -> bool:
            unknown = isinstance(error, UnknownExample) and isinstance(lesson.about, FrameRef)
            return unknown and bool(self._engine.frames or len(self._buffer))

        return await self._engine.retry(partial(self._teach, lesson), is_early)

    def _send(self, reply: Reply, accepted: Callable[[], None] = lambda: None) -> None:
        made: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        made.set_result(reply)
        self._outbox.put_nowait((made, accepted))

    def _refuse(self, ticket: FrameTicket[Frame], error: TTAError) -> Reply | None:
        try:
            taken = ticket.take_frame()
        except NotReady:
            return None
        self._dropped += taken.dropped
        self._pace.add(bad=isinstance(error, BadImage))
        located, strategy = taken.frame.blame(error)
        context = (self._policy, self._trace, "", self.session, taken.frame.id, self._owner)
        self._observe(Refused(located, "ClassifyStream", strategy, *context))
        return make_failure(taken.frame, located)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
