from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import LABELS, settle
from tests.serving.manual_executor import Last, ManualExecutor
from tests.serving.toys import Diary
from tta_service.core.errors import MemoryFull
from tta_service.serving.sessions.memory import MemoryKey, MemorySlot
from tta_service.serving.sessions.turns import ResetTurn, TurnQueue

FORGETFUL = 99  # a frame that is answered and then fails to learn


class Held:
    """A memory whose lane is worked by hand."""

    def __init__(self, early: bool = False) -> None:
        self.bytes, self.over, self.lane, self.early = 0, 0, ManualExecutor(), early
        self.kept = MemorySlot(MemoryKey(Diary(), LABELS.id, None), LABELS, self.grew)
        self.queue = TurnQueue(self.kept)

    def grew(self, by: int) -> None:
        self.bytes += by

    def turn(self) -> Any:
        return self.queue.enqueue(self.was_over)

    def was_over(self) -> None:
        self.over += 1

    async def frame(self, turn: Any, number: int) -> Any:
        def work(memory: Last, deliver: Callable[[int], None]) -> tuple[int, Last]:
            if number < 0:
                raise ZeroDivisionError
            answer = int(memory.number)
            if self.early:
                deliver(answer)
            if number == FORGETFUL:
                raise ZeroDivisionError
            return answer, Last(torch.tensor(number))

        try:
            await turn.wait()
            await turn.begin(self.lane, lambda: Last(torch.tensor(0)), lambda size: None)
            return await turn.adapt(self.lane, work, self.kept.pop_reset)
        finally:
            turn.leave()

    async def step(self) -> None:
        self.lane.step()
        await settle()


async def test_turns_come_in_order_and_skip_cancelled_callers():
    held = Held()
    turns = [held.turn() for _ in range(4)]
    tasks = [asyncio.create_task(held.frame(turn, i + 1)) for i, turn in enumerate(turns)]
    await settle()
    tasks[1].cancel()
    await settle()
    for _ in range(4):  # begin, and three frames
        await held.step()
    assert [tasks[i].result()[0] for i in (0, 2, 3)] == [0, 1, 3]
    assert held.over == 4 and held.bytes == 8 and held.kept.begun


async def test_a_turn_cancelled_while_the_memory_begins_ends_when_it_has_begun():
    held = Held()
    first, second = held.turn(), held.turn()
    leaving = asyncio.create_task(held.frame(first, 1))
    await settle()
    leaving.cancel()
    await settle()
    staying = asyncio.create_task(held.frame(second, 2))
    await settle()
    assert held.over == 0 and len(held.lane.work) == 1  # still the beginning
    await held.step()
    await held.step()
    assert await staying == (0, False)  # it had seen nothing


async def test_a_frame_cancelled_during_adapt_is_in_the_memory():
    held = Held()
    leaving = asyncio.create_task(held.frame(held.turn(), 1))
    staying = asyncio.create_task(held.frame(held.turn(), 2))
    await settle()
    await held.step()
    leaving.cancel()
    await settle()
    assert leaving.cancelled() and held.over == 0
    await held.step()
    await held.step()
    assert await staying == (1, False)


async def test_a_failure_discards_the_memory_and_is_reported_once():
    held = Held()
    tasks = [asyncio.create_task(held.frame(held.turn(), number)) for number in (5, -1, 6, 7)]
    await settle()
    while held.lane.work:
        await held.step()
    with pytest.raises(ZeroDivisionError):
        tasks[1].result()
    assert [tasks[i].result() for i in (0, 2, 3)] == [(0, False), (0, True), (6, False)]
    assert held.bytes == 8 and held.over == 4


async def test_an_answer_first_does_not_wait_for_the_memory():
    held = Held()
    with ThreadPoolExecutor(1) as lane:
        learning = threading.Event()

        def work(memory: Last, deliver: Callable[[int], None]) -> tuple[int, Last]:
            deliver(answer := int(memory.number))
            assert learning.wait(PATIENCE)
            return answer, Last(torch.tensor(7))

        turn, behind = held.turn(), held.turn()
        await turn.wait()
        await turn.begin(lane, lambda: Last(torch.tensor(3)), lambda size: None)
        assert await turn.adapt(lane, work, held.kept.pop_reset) == (3, False)
        turn.leave()
        coming = asyncio.create_task(behind.wait())
        await settle()
        assert held.over == 0 and not coming.done()  # the turn goes on while the memory learns
        learning.set()
        await asyncio.wait_for(coming, PATIENCE)
        assert held.over == 1 and int(held.kept.value.number) == 7
        behind.leave()


async def test_a_frame_that_fails_to_learn_is_answered_and_the_next_begins_a_new_memory():
    held = Held(early=True)
    tasks = [asyncio.create_task(held.frame(held.turn(), number)) for number in (5, FORGETFUL, 6)]
    await settle()
    while held.lane.work:
        await held.step()
    assert [task.result() for task in tasks] == [(0, False), (5, False), (0, True)]
    assert held.over == 3


async def test_a_memory_that_is_not_admitted_is_not_kept():
    held = Held()

    def refuse(size: int) -> None:
        raise MemoryFull(f"{size}")

    turn = held.turn()
    await turn.wait()
    beginning = asyncio.create_task(turn.begin(held.lane, lambda: Last(torch.tensor(0)), refuse))
    await settle()
    await held.step()
    with pytest.raises(MemoryFull, match="8"):
        await beginning
    turn.leave()
    assert held.queue.empty and held.bytes == 0 and held.over == 1


async def test_a_reset_takes_its_turn_by_itself():
    held = Held()
    before = asyncio.create_task(held.frame(held.turn(), 1))
    await settle()
    held.queue.enqueue(held.was_over, ResetTurn)
    after = asyncio.create_task(held.frame(held.turn(), 2))
    await settle()
    while held.lane.work:
        await held.step()
    assert await before == (0, False) and await after == (0, True)
    assert held.over == 3
