"""The turns at one memory, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar

from ...core.errors import NotReady
from ...core.memory import nbytes
from ..concurrency import CooperativeTask, run
from .memory import MemorySlot

T = TypeVar("T")
R = TypeVar("R")


class Turn:
    """Taken on admission, so that memories follow the order of admission however long the encoding takes.

    Work that was handed to a lane runs to its end. Its completion stores the memory and ends the turn, whether or not
    the caller still waits: a caller that leaves before changes nothing, one that leaves later loses only the answer.
    """

    def __init__(self, slot: MemorySlot, on_over: Callable[[], None]) -> None:
        self.slot, self._on_over = slot, on_over
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_lane = self._left = self._ended = False

    def start(self) -> None:
        """The turn is first in the queue now."""
        if not self._started.done():
            self._started.set_result(None)

    async def wait(self) -> None:
        """Waits until all earlier turns are over."""
        await self._started

    async def begin(
        self, lane: Executor, begin: Callable[[], Any | Generator[None, None, Any]], admit: Callable[[int], None]
    ) -> None:
        """Begins the memory unless there is one. `admit(bytes)` makes room for it, or raises.

        Between the steps of a generator the lane is free for others.
        """
        if self.slot.begun:
            return
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def store(memory: Any) -> None:
            admit(size := nbytes(memory))
            self.slot.store(memory, size)

        self._run(asyncio.ensure_future(CooperativeTask(begin).run(lane)), store, begun)
        await begun

    async def adapt(
        self,
        lane: Executor,
        work: Callable[[Any, Callable[[T], None]], tuple[T, Any]],
        on_answer: Callable[[], R],
        on_done: Callable[[object], None] = lambda done: None,
    ) -> tuple[T, R]:
        """Runs `work(memory, deliver)` in the lane: the answer and the new memory, which ends the turn.

        Returns the answer and what `on_answer()` returned, which is called once with every answer. Work that calls
        `deliver(answer)` is answered at once, before the memory is stored. When the work raises, the memory is
        discarded. `on_done` is called when the lane is done.
        """
        loop, value, given = asyncio.get_running_loop(), self.slot.value, list[tuple[T, R]]()
        answered: asyncio.Future[tuple[T, R]] = loop.create_future()

        def deliver(answer: T) -> tuple[T, R]:
            if not given:  # else it was delivered before the memory was there
                given.append((answer, on_answer()))
            if not answered.done():
                answered.set_result(given[0])
            return given[0]

        def deliver_early(answer: T) -> None:
            loop.call_soon_threadsafe(deliver, answer)

        def work_on_memory() -> tuple[T, Any, int]:
            answer, memory = work(value, deliver_early)
            return answer, memory, nbytes(memory)

        def store(done: tuple[T, Any, int]) -> tuple[T, R]:
            answer, memory, size = done
            self.slot.store(memory, size)
            return deliver(answer)

        in_lane = run(lane, work_on_memory)
        self._run(in_lane, store, answered)
        in_lane.add_done_callback(on_done)
        self._left, self.slot.value = True, None  # the turn ends with this work, and the old value is not needed again
        return await answered

    def leave(self) -> None:
        """Ends the turn: at once, or when the lane is done with the memory."""
        self._left = True
        self._end()

    def _end(self) -> None:
        if self._left and not self._in_lane and not self._ended:
            self._ended = True
            self._on_over()

    def _run(self, in_lane: asyncio.Future[T], store: Callable[[T], R], result: asyncio.Future[R]) -> None:
        """Sets `result` to `store` of the work's value, or the error, unless it is done.

        After an error the memory is discarded.
        """

        def on_done(done: asyncio.Future[T]) -> None:
            self._in_lane = False
            try:
                if done.cancelled():
                    raise NotReady("the server is stopping")
                value = store(done.result())
                if not result.done():
                    result.set_result(value)
            except Exception as error:
                self.slot.reset()
                if not result.done():
                    result.set_exception(error)
            finally:
                self._end()

        in_lane.add_done_callback(on_done)
        self._in_lane = True


class ResetTurn(Turn):
    """A turn that discards the memory as soon as it is first, and is over, even when the caller does not wait."""

    def start(self) -> None:
        self.slot.reset()
        super().start()
        self.leave()


class TurnQueue:
    """One memory and the frames that wait for it. Only the first turn may touch the memory."""

    def __init__(self, slot: MemorySlot) -> None:
        self.slot = slot
        self._turns: deque[Turn] = deque()
        self._starting = False

    @property
    def empty(self) -> bool:
        """The slot is empty and no turn waits."""
        return not self._turns and self.slot.empty

    def enqueue(self, on_over: Callable[[], None], make: type[Turn] = Turn) -> Turn:
        """Takes a place at the end of the queue; `on_over` is called once, when the turn is over."""

        def end() -> None:
            self._turns.remove(turn)
            self._start_first()
            on_over()

        turn = make(self.slot, end)
        self._turns.append(turn)
        self._start_first()
        return turn

    def _start_first(self) -> None:
        """A turn may be over as soon as it starts; a loop, because a thousand such turns may wait."""
        if self._starting:
            return
        self._starting, started = True, None
        try:
            while self._turns and self._turns[0] is not started:
                started = self._turns[0]
                started.start()
        finally:
            self._starting = False
