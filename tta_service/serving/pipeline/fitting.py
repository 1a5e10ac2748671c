"""Fits memories to their lessons beside the turns: until a fit is done, frames are answered with the one before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...core.errors import NotReady
from ...core.labels import TextSpace
from ...core.memory import map_tensors
from ...core.strategy import Strategy, apply_fit, is_teachable
from ..concurrency import Executors, run
from ..sessions.memory import MemorySlot
from ..sessions.turns import Turn, TurnQueue
from ..text.cache import TextSpaceCache

log = logging.getLogger(__name__)


class Fitter:
    """Runs `Strategy.fit` in the tune lane, one fit of a memory at a time, and repeats it while one is due."""

    def __init__(self, lanes: Executors, text_spaces: TextSpaceCache) -> None:
        self._lanes, self._text_spaces = lanes, text_spaces
        self._fitting: dict[MemorySlot, asyncio.Task[None]] = {}

    def start(self, queue: TurnQueue, hold: Callable[[], Callable[[], None]]) -> None:
        """Begins a fit if one is due and none runs. `hold()` keeps the session open until its result is called."""
        slot = queue.slot
        if slot in self._fitting or not is_teachable(slot.key.strategy):
            return
        if slot.value is not None and not slot.key.strategy.fit_is_due(slot.value.memory):  # None: a turn works on it
            return
        task = self._fitting[slot] = asyncio.create_task(self._fit(queue, hold))
        task.add_done_callback(lambda _: self._fitting.pop(slot))

    def start_first(self, queue: TurnQueue, hold: Callable[[], Callable[[], None]]) -> None:
        """Like `start`, of a memory that nobody has used yet: its frames wait for the fit, as when it begins."""
        slot = queue.slot
        if is_teachable(slot.key.strategy) and slot.begun and slot.key.strategy.fit_is_due(slot.value.memory):
            task = self._fitting[slot] = asyncio.create_task(self._fit_in_turn(slot, queue.enqueue(hold())))
            task.add_done_callback(lambda _: self._fitting.pop(slot))

    async def wait(self) -> None:
        """Returns when no fit is running."""
        while self._fitting:
            await asyncio.gather(*self._fitting.values(), return_exceptions=True)

    async def _fit_in_turn(self, slot: MemorySlot, turn: Turn) -> None:
        try:
            text = await self._text_spaces.get(slot.labels)
            await turn.wait()
            await turn.adapt(self._lanes.tune, partial(_fit_and_put, slot.key.strategy, text), lambda: None)
        except NotReady:  # the server is stopping
            pass
        except Exception:
            log.exception("%s could not be fitted to its lessons", slot.key.strategy.name)
        finally:
            turn.leave()

    async def _fit(self, queue: TurnQueue, hold: Callable[[], Callable[[], None]]) -> None:
        slot, strategy = queue.slot, queue.slot.key.strategy

        resets = 0  # of the memory when it was copied

        def is_due() -> bool:
            nonlocal resets
            resets = slot.resets
            return strategy.fit_is_due(slot.value.memory)

        def is_the_same() -> bool:
            return slot.resets == resets

        try:
            while (memory := await self._work(queue.enqueue(hold()), is_due, _copy)) is not None:
                text = await self._text_spaces.get(slot.labels)
                values = await run(self._lanes.tune, _fit, strategy, memory, text)
                await self._work(queue.enqueue(hold()), is_the_same, partial(_put, values))
        except NotReady:  # the server is stopping
            pass
        except Exception:
            log.exception("%s could not be fitted to its lessons", strategy.name)

    async def _work(self, turn: Turn, is_wanted: Callable[[], bool], work: Callable[[Any, object], Any]) -> Any:
        """The result of work on the memory in its turn; None when it has not begun or the work is not wanted then."""
        try:
            await turn.wait()
            if turn.slot.begun and is_wanted():
                return (await turn.adapt(self._lanes.adapt, work, lambda: None))[0]
        finally:
            turn.leave()


def _copy(memory: Any, deliver: object) -> tuple[Any, Any]:
    return map_tensors(memory, Tensor.clone), memory


def _put(values: Mapping[str, Tensor], memory: Any, deliver: object) -> tuple[None, Any]:
    return None, memory._replace(memory=apply_fit(memory.memory, values))


def _fit_and_put(strategy: Strategy[Any], text: TextSpace, memory: Any, deliver: object) -> tuple[None, Any]:
    try:
        return _put(_fit(strategy, memory, text), memory, deliver)
    except Exception:  # what it has learnt is still worth keeping
        log.exception("%s could not be fitted to its lessons", strategy.name)
        return None, memory


def _fit(strategy: Strategy[Any], memory: Any, text: TextSpace) -> Mapping[str, Tensor]:
    with torch.no_grad():
        return strategy.fit(memory.memory, text)
