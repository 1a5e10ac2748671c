from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.harness import settle
from tta_service.core.errors import NotReady
from tta_service.core.events import Dropped
from tta_service.serving.streams import FrameBuffer, Policy, RateLimiter


def open_buffer(policy: Policy, **given) -> tuple[FrameBuffer[str], list[Dropped]]:
    events: list[Dropped] = []
    return FrameBuffer(policy, observe=events.append, **given), events


async def take(frames: FrameBuffer[str]):
    ticket = await frames.ticket()
    assert ticket is not None
    return ticket.take_frame()


async def test_latest_keeps_the_newest_frame_and_counts_the_others():
    frames, events = open_buffer(Policy.LATEST)
    for name in "abc":
        await frames.put(name, 1)
    taken = await take(frames)
    assert (taken.frame, taken.dropped) == ("c", 2)
    assert events == [Dropped("superseded", "latest")] * 2
    await frames.put("d", 1)
    assert (await take(frames)).dropped == 0


async def test_a_frame_with_a_ticket_may_still_be_replaced_until_it_is_taken():
    frames, _ = open_buffer(Policy.LATEST)
    await frames.put("old", 1)
    ticket = await frames.ticket()
    assert ticket.frame == "old"
    await frames.put("new", 1)
    assert ticket.frame == "new"
    assert ticket.take_frame().frame == "new"
    await frames.put("newer", 1)
    assert ticket.take_frame().frame == ticket.frame == "new"  # the same again
    assert len(frames) == 1


async def test_the_next_ticket_comes_when_the_one_before_is_used_and_there_is_a_frame():
    frames, _ = open_buffer(Policy.BLOCK, capacity=3)
    await frames.put("a", 1)
    first = await frames.ticket()
    waiting = asyncio.create_task(frames.ticket())
    await frames.put("b", 1)
    await settle()
    assert not waiting.done()
    assert first.take_frame().frame == "a"
    second = await waiting
    assert second.take_frame().frame == "b"
    waiting = asyncio.create_task(frames.ticket())
    await settle()
    assert not waiting.done()
    await frames.put("c", 1)
    assert (await waiting).take_frame().frame == "c"


async def test_block_makes_the_sender_wait_and_loses_nothing():
    frames, events = open_buffer(Policy.BLOCK, capacity=2)
    sent = asyncio.create_task(_send(frames, "abcde"))
    got = []
    for _ in range(5):
        await settle()
        assert len(frames) <= 2
        got.append((await take(frames)).frame)
    await sent
    assert "".join(got) == "abcde" and not events


async def test_bytes_are_bounded():
    frames, _ = open_buffer(Policy.BLOCK, capacity=8, max_bytes=10)
    await frames.put("large", 99)  # alone it may be larger
    sent = asyncio.create_task(_send(frames, "abc", 5))
    await settle()
    assert frames.bytes == 99
    await take(frames)
    await settle()
    assert frames.bytes == 10 and len(frames) == 2
    await take(frames)
    await sent


async def test_drop_oldest_and_drop_newest():
    oldest, dropped = open_buffer(Policy.DROP_OLDEST, capacity=2)
    await _send(oldest, "abcd")
    assert [(t.frame, t.dropped) for t in (await take(oldest), await take(oldest))] == [("c", 2), ("d", 0)]
    assert dropped == [Dropped("superseded", "drop_oldest")] * 2
    newest, dropped = open_buffer(Policy.DROP_NEWEST, capacity=2)
    await _send(newest, "abcd")
    assert [(t.frame, t.dropped) for t in (await take(newest), await take(newest))] == [("a", 2), ("b", 0)]
    assert dropped == [Dropped("superseded", "drop_newest")] * 2


async def test_dropping_for_bytes_leaves_a_frame_for_the_ticket():
    frames, events = open_buffer(Policy.DROP_OLDEST, capacity=4, max_bytes=10)
    await _send(frames, "abc", 3)
    ticket = await frames.ticket()
    await frames.put("huge", 10)
    assert ticket.take_frame().frame == "huge"
    assert events == [Dropped("budget", "drop_oldest")] * 3


async def test_a_finished_stream_gives_out_what_it_has():
    frames, _ = open_buffer(Policy.BLOCK)
    await frames.put("a", 1)
    frames.finish()
    assert (await take(frames)).frame == "a"
    assert await frames.ticket() is None


async def test_finishing_wakes_the_worker():
    frames, _ = open_buffer(Policy.LATEST)
    waiting = asyncio.create_task(frames.ticket())
    await settle()
    frames.finish()
    assert await waiting is None


async def test_a_closed_stream_drops_waiting_frames_and_releases_the_sender():
    frames, events = open_buffer(Policy.BLOCK, capacity=1)
    await frames.put("a", 1)
    ticket = await frames.ticket()
    sent = asyncio.create_task(frames.put("b", 1))
    await settle()
    frames.close()
    await sent
    assert events == [Dropped("cancelled", "block")] * 2
    assert frames.bytes == 0 and await frames.ticket() is None
    with pytest.raises(NotReady):
        ticket.take_frame()


async def _send(frames: FrameBuffer[str], names: str, size: int = 1) -> None:
    for name in names:
        await frames.put(name, size)


def test_an_even_rate_has_no_delay():
    limiter = RateLimiter(30.0)
    assert all(limiter.delay(number / 30) == 0 for number in range(1000))


def test_a_burst_passes_and_what_follows_is_delayed():
    limiter = RateLimiter(20.0, burst=0.5)
    assert all(limiter.delay(7.0) < 1e-9 for _ in range(10))
    assert limiter.delay(7.0) > 0.04
    assert limiter.delay(100.0) == 0  # long enough later


def test_a_rate_of_zero_is_no_limit():
    limiter = RateLimiter(0.0)
    assert not any(limiter.delay(0.0) for _ in range(1000))


@given(st.floats(1, 1000), st.floats(0, 2), st.integers(0, 99))
def test_a_caller_that_waits_stays_below_the_rate(rate: float, burst: float, seed: int):
    chance, limiter, now = random.Random(seed), RateLimiter(rate, burst), 5.0
    came = []
    for _ in range(300):
        now += chance.choice([0.0, 0.0, chance.random() * 2 / rate])
        came.append(now)
        now += limiter.delay(now)
    for first in range(0, 300, 7):
        for last in range(first, 300, 11):
            assert last - first + 1 <= rate * (came[last] - came[first] + burst) + 2
