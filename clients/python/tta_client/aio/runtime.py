"""What tasks of an event loop do for the asyncio client. `sync/runtime.py` has the same names, for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import grpc

from ..channel import make_options
from ..errors import TTAClientError, from_ending
from ..types.frames import close_source
from ..v1 import tta_pb2_grpc

Frames = Iterable[Any] | AsyncIterable[Any]
Future = asyncio.Future
END: Any = object()


class Condition:
    """`threading.Condition` for the tasks of one event loop, which needs no lock."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

    def notify_all(self) -> None:
        """Wakes every task that waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as of threading.Condition
        """Returns at the next notification, or after so many seconds."""
        await self.wait_for(self._event.is_set, timeout)

    async def wait_for(self, ready: Callable[[], Any], timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Returns when `ready` does, or after so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not ready():
                    await self._event.wait()
        except TimeoutError:
            pass


class Workers:
    """Tasks that run beside the caller's."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *functions: Callable[[], Any]) -> None:
        """Runs each function in a task of its own."""
        self._tasks = [asyncio.create_task(function()) for function in functions]

    async def stop(self) -> None:
        """Cancels the tasks and waits for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def is_stopping(self, error: BaseException) -> bool:
        """Whether the task that raised `error` was cancelled or discarded; False: what it called raised the error."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs any more
            return True
        return task not in self._tasks or (isinstance(error, asyncio.CancelledError) and bool(task.cancelling()))


# ---- the source of the frames


def open_source(frames: Frames) -> AsyncIterator[Any]:
    """An ordinary iterable is read in a thread, so that a slow camera does not block the loop."""
    return aiter(frames) if isinstance(frames, AsyncIterable) else _read_in_thread(iter(frames))


async def end_source(source: Any) -> None:
    """Closes what `open_source` returned, if it can be closed."""
    if hasattr(source, "aclose"):
        await source.aclose()


async def _read_in_thread(frames: Iterator[Any]) -> AsyncIterator[Any]:
    """The same frames, each read in a daemon thread. A cancelled read closes the source when it ends.

    What the source raises is a result of the read: a future with a GeneratorExit would close coroutines.
    """
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = _read_next(frames)
            picture, error = await waiting
            if error is not None:
                raise error
            if picture is END:
                break
            yield picture
    finally:
        if waiting is None or not waiting.cancelled():
            close_source(frames)


def _read_next(frames: Iterator[Any]) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(picture: Any, error: BaseException | None) -> None:
        if future.cancelled():
            close_source(frames)
        else:
            future.set_result((picture, error))

    def work() -> None:
        picture, error = None, None
        try:
            picture = next(frames, END)
        except BaseException as raised:  # the reader raises it in the loop
            error = raised
        try:
            loop.call_soon_threadsafe(settle, picture, error)
        except RuntimeError:  # the loop was closed meanwhile
            close_source(frames)

    threading.Thread(target=work, name="tta-camera-pull", daemon=True).start()
    return future


class Channels:
    """One channel, and the stub on it, for each event loop; made on first use."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._target, self._credentials = target, credentials
        self._channels: dict[asyncio.AbstractEventLoop, tuple[Any, Any]] = {}

    def get(self) -> tuple[Any, Any]:
        """The channel and the stub of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            self._channels = {other: pair for other, pair in self._channels.items() if not other.is_closed()}
            options = make_options(self._target)
            channel = (
                grpc.aio.secure_channel(self._target, self._credentials, options)
                if self._credentials
                else grpc.aio.insecure_channel(self._target, options)
            )
            self._channels[loop] = channel, tta_pb2_grpc.AdaptationServiceStub(channel)
        return self._channels[loop]


async def read_reply(replies: AsyncIterator[Any]) -> Any:
    """The next reply of a call; None after the last."""
    try:
        return await anext(replies, None)
    except asyncio.CancelledError:  # by which grpcio reports both a CANCELLED of the server and our own cancellation
        raise TTAClientError(grpc.StatusCode.CANCELLED, "the call was cancelled on its way") from None


class CallStatus:
    """The final status of a call, although grpcio may change it.

    A write that loses the race against the end of the call makes grpcio report a status of its own ("Internal error
    from Core") before or after the service's. So every status is noted at once, and the service's is used.
    """

    def __init__(self, running: Any) -> None:
        self._running, self._statuses = running, list[tuple[Any, Any, Any]]()
        running.add_done_callback(self._note)

    async def error(self) -> TTAClientError:
        """The error of the service's status, which may come up to one second after grpcio's own."""
        for _ in range(100):
            self._statuses.append(await self._read())
            for status in self._statuses:
                if status[1] != "Internal error from Core":
                    return from_ending(*status)
            await asyncio.sleep(0.01)
        return from_ending(*self._statuses[-1])

    async def _read(self) -> tuple[Any, Any, Any]:
        running = self._running
        return await running.code(), await running.details(), await running.trailing_metadata()

    def _note(self, _: Any) -> None:
        reading = self._read()
        try:
            reading.send(None)  # the call is done, so reading never waits
        except StopIteration as done:
            self._statuses.append(done.value)
        else:
            reading.close()
