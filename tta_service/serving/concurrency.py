"""Executors (lanes), so that no torch call runs on the event loop and none takes the cores of another; work by key.

`torch.set_num_threads` sets the number for the calling thread (OpenMP and MKL alike, torch 2.15), and for every thread
that has not done any torch work yet, the main thread included. So each thread of a lane sets its own number once, in
its initializer, and keeps it whatever other threads set later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, TypeVarTuple, cast

import torch
from joblib import cpu_count  # pyright: ignore[reportMissingTypeStubs]

from ..core.errors import NotReady, TTAError

Given = TypeVarTuple("Given")
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executors:
    """The executors for work with tensors."""

    prepare: Executor  # decodes images, makes views
    device: Executor  # one thread: runs batches through the towers
    adapt: Executor  # strategies without gradients
    tune: Executor  # one thread: strategies with gradients
    prepare_threads: int = 2

    def close(self) -> None:
        """Drops the work that has not begun and waits for the rest."""
        for lane in (self.prepare, self.device, self.adapt, self.tune):
            lane.shutdown(wait=True, cancel_futures=True)


def make_executors(prepare: int = 0, adapt: int = 2, cores: int = 0) -> Executors:
    """Lanes of so many threads (`prepare` 0: one for each core), for `cores` (0: all that we may use)."""
    cores = cores or int(cpu_count())
    prepare = prepare or cores
    return Executors(
        prepare=_make_executor("prepare", prepare, 1),
        device=_make_executor("device", 1, cores),
        adapt=_make_executor("adapt", adapt, 1),
        tune=_make_executor("tune", 1, max(1, cores // 2)),
        prepare_threads=prepare,
    )


def _make_executor(name: str, threads: int, cores: int) -> Executor:
    return ThreadPoolExecutor(threads, f"tta-{name}", initializer=torch.set_num_threads, initargs=(cores,))


def run(lane: Executor, work: Callable[[*Given], T], *args: *Given) -> asyncio.Future[T]:
    """Runs `work` in that lane. Cancelling the future drops work that has not begun. `NotReady` once it is closed."""
    try:
        return asyncio.get_running_loop().run_in_executor(lane, work, *args)
    except RuntimeError:
        raise NotReady("the server is stopping") from None


class CooperativeTask(Generic[T]):
    """Runs `work()`, which returns the result, or a generator that returns it: each step is submitted on its own.

    `context` surrounds every step, in the lane's thread. A task whose `run` was cancelled goes on with the next `run`.
    """

    def __init__(
        self,
        work: Callable[[], T | Generator[None, None, T]],
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._steps, self._context = _steps(work), context
        self.seconds = 0.0  # in the lane
        self._result: tuple[T] | None = None
        self._error: Exception | None = None

    async def run(self, lane: Executor, turn: Callable[[], Awaitable[AbstractContextManager[Any]]] | None = None) -> T:
        """The result. Raises what a step raises. Each step waits for a `turn`."""
        result = None
        while result is None:
            with nullcontext() if turn is None else await turn():
                result = await run(lane, self._step)
        return result[0]

    def _step(self) -> tuple[T] | None:
        if self._result or self._error:  # of a step that nobody waited for
            return self._get()
        began = time.monotonic()
        with self._context():
            try:
                return next(self._steps)
            except StopIteration as end:
                self._result = (end.value,)
            except Exception as error:
                self._error = error
            finally:
                self.seconds += time.monotonic() - began
        return self._get()

    def _get(self) -> tuple[T] | None:
        if self._error:
            raise self._error
        return self._result


def _steps(work: Callable[[], T | Generator[None, None, T]]) -> Generator[None, None, T]:
    result = work()
    return (yield from cast("Generator[None, None, T]", result)) if isinstance(result, Generator) else result


class KeyedQueue:
    """Runs the work of one key in the order of submission, whether or not its callers still wait.

    Every failure is logged, because the caller may be gone; but what is not ready says so by itself.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Work for that key is in progress."""
        return key in self._last

    def last(self, key: Hashable) -> asyncio.Task[None]:
        """The task that was submitted last for that key."""
        return self._last[key]

    def submit(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Runs `work()` after all that was submitted for the key before. Await the task in a shield."""
        before = self._last.get(key)

        async def run_after() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work()

        def on_done(done: asyncio.Task[None]) -> None:
            if self._last.get(key) is done:
                del self._last[key]
            if not done.cancelled() and (error := done.exception()) and not isinstance(error, NotReady):
                log.warning("%s: %s", key, error, exc_info=None if isinstance(error, TTAError) else error)

        task = self._last[key] = asyncio.create_task(run_after())
        task.add_done_callback(on_done)
        return task

    async def join(self) -> None:
        """Returns when all that was submitted before is done."""
        if self._last:
            await asyncio.wait(self._last.values())


class SingleFlight(Generic[K, T]):
    """Callers that ask for a key while its value is being made wait for the same value.

    A caller that leaves does not cancel the making, unless it was the last and the making is to `stop_alone`. A failure
    reaches all that wait, and the next caller makes the value again.
    """

    def __init__(self, stop_alone: bool = False) -> None:
        self._making: dict[K, asyncio.Future[T]] = {}
        self._stop_alone, self._waiting = stop_alone, Counter[asyncio.Future[T]]()

    def __len__(self) -> int:
        return len(self._making)

    async def get(self, key: K, make: Callable[[], asyncio.Future[T]], on_made: Callable[[T], None]) -> T:
        """The value of `make()`, shared with those that wait for it; `on_made` is called once, before they go on."""
        if key not in self._making:
            making = self._making[key] = make()

            def on_done(done: asyncio.Future[T]) -> None:
                if self._making.get(key) is done:
                    del self._making[key]
                if not done.cancelled() and done.exception() is None:
                    on_made(done.result())

            making.add_done_callback(on_done)
        making = self._making[key]
        self._waiting[making] += 1
        try:
            return await asyncio.shield(making)
        finally:
            self._waiting[making] -= 1
            if not self._waiting[making]:
                del self._waiting[making]
                if self._stop_alone and not making.done():
                    del self._making[key]
                    making.cancel()
