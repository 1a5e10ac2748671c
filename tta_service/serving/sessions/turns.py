"""A frame's place in the queue of one memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar

from ...core.errors import NotReady
from ...core.memory import nbytes
from ...core.strategy import remembered
from ..concurrency.executors import run
from .memory import Kept

T = TypeVar("T")
R = TypeVar("R")


class Turn:
    """Taken on arrival, so that memories follow the order of arrival however long the encoding takes.

    Once work is handed to a lane it runs to its end, and its completion there, never the caller, keeps the memory and
    passes the turn on. A caller who leaves earlier leaves no trace; one who leaves later loses only the answer.
    """

    def __init__(self, kept: Kept, over: Callable[[], None]) -> None:
        self.kept, self._over = kept, over
        self._mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_lane = self._left = self._ended = False

    def came(self) -> None:
        """It stands first now."""
        if not self._mine.done():
            self._mine.set_result(None)

    async def comes(self) -> None:
        """Waits until all earlier frames are done with the memory."""
        await self._mine

    async def begin(self, lane: Executor, begin: Callable[[], Any], admit: Callable[[int], None]) -> None:
        """Makes the memory that has seen nothing, unless there is one. `admit(bytes)` may refuse to keep it."""
        if self.kept.begun:
            return

        def arrived(made: tuple[Any, int]) -> None:
            admit(made[1])
            self.kept.keep(*made)

        await self._hand(lane, lambda: _sized(begin()), arrived)

    async def adapt(
        self,
        lane: Executor,
        work: Callable[[Any], Generator[T, None, Any]],
        saw: Callable[[], R],
        early: bool = False,
        over: Callable[[object], None] = lambda done: None,
    ) -> tuple[T, R]:
        """`work(memory)` in the lane: it yields the answer, then returns the memory to keep; then the turn is over.

        An `early` answer does not wait for the memory. `saw()` is called once with the answer, whether or not anybody
        still waits for it. When the work raises, this one memory starts afresh. `over` is called when the lane is done.
        """
        loop, value = asyncio.get_running_loop(), self.kept.value
        heard: asyncio.Future[tuple[T, R]] = loop.create_future()

        def hear(answer: T) -> None:
            said = answer, saw()
            if not heard.done():
                heard.set_result(said)

        def working() -> tuple[T, tuple[Any, int]]:
            steps = work(value)
            answer = next(steps)
            if early:
                loop.call_soon_threadsafe(hear, answer)
            return answer, _sized(remembered(steps))

        def arrived(done: tuple[T, tuple[Any, int]]) -> None:
            self.kept.keep(*done[1])
            if not early:
                hear(done[0])

        def ended(done: asyncio.Future[None]) -> None:
            if (error := done.exception()) and not heard.done():
                heard.set_exception(error)

        handed = self._hand(lane, working, arrived)
        handed.add_done_callback(ended)
        handed.add_done_callback(over)
        self._left, self.kept.value = True, None  # nothing follows; and nobody looks at the old value again
        return await heard

    def leave(self) -> None:
        """Gives the place up: at once, or when the lane is done with the memory."""
        self._left = True
        self._end()

    def _end(self) -> None:
        if self._left and not self._in_lane and not self._ended:
            self._ended = True
            self._over()

    def _hand(self, lane: Executor, work: Callable[[], T], arrived: Callable[[T], R]) -> asyncio.Future[R]:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def back(done: asyncio.Future[T]) -> None:
            self._in_lane = False
            try:
                said = arrived(_result(done))
            except Exception as error:
                self.kept.forget()
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(said)
            finally:
                self._end()

        run(lane, work).add_done_callback(back)
        self._in_lane = True
        return answer


class Wipe(Turn):
    """A place that makes the memory forget when it comes, and is over."""

    def came(self) -> None:
        self.kept.forget()
        super().came()
        self.leave()


def _sized(memory: Any) -> tuple[Any, int]:
    return memory, nbytes(memory)


def _result(done: asyncio.Future[T]) -> T:
    if done.cancelled():
        raise NotReady("the server is stopping")
    return done.result()
