"""A session that goes to another server lacks no frame there, though the store lagged behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.patience import PATIENCE
from tests.rpc.conftest import busy, open_harness, options, question, until
from tests.serving.persistence.stores.test_stores import share_fakeredis
from tests.serving.persistence.test_service import Server, server
from tta_service.core.errors import SessionMoved
from tta_service.core.request import Report


@asynccontextmanager
async def two_servers(listening: bool = True) -> AsyncIterator[tuple[Server, Server]]:
    """Both know each other when the block begins, unless they are not `listening`."""
    shared = share_fakeredis()
    async with server(shared.one, "a:1") as one, server(shared.two, "b:1") as two:
        handovers = [each.persistence.handover for each in (one, two)]
        tasks = [asyncio.create_task(each.run()) for each in handovers if each and listening]
        async with asyncio.timeout(PATIENCE):
            while listening and shared.client.pubsub_numsub("tta:asked")[0][1] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield one, two
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer(at: Server, number: int) -> Report:
    async with at.persistence.use(at.owner, "cam"):
        return await at.frame(number)


async def test_the_server_that_has_it_writes_it_first():
    async with two_servers() as (one, two):
        for number in (1, 2, 3):
            await answer(one, number)
        for number in (4, 5):
            session = (await answer(two, number)).session
            assert (session.frames, session.origin) == (number, "restored" if number == 4 else "continued")
        assert one.running.sessions.registry.get("ann", "cam") is None
        assert (await answer(one, 6)).session.frames == 6


async def test_a_stream_of_it_ends_and_is_told_where_it_is():
    async with two_servers() as (one, two):
        with one.running.sessions.lease("ann", "cam") as lease:
            await answer(one, 1)
            assert (await answer(two, 2)).session.frames == 2
            with pytest.raises(SessionMoved, match="moved to b:1"):
                raise await lease.wait_lost(PATIENCE)


async def test_frames_in_progress_are_part_of_it():
    async with two_servers() as (one, two):
        await answer(one, 1)
        here, there = await asyncio.gather(answer(one, 2), answer(two, 3))
        assert {here.session.frames, there.session.frames} == {2, 3}


async def test_a_frame_in_progress_while_the_server_drains_is_part_of_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tta_service.serving.persistence.handover.SOON", PATIENCE)
    shared, ask = share_fakeredis(), question(options=options("tda"), session_id="cam")
    async with open_harness(store=shared.one) as one, open_harness(store=shared.two) as two:
        listening = asyncio.create_task(one.parts.persistence.answer_others())
        asker = asyncio.create_task(two.parts.persistence.answer_others())
        await until(lambda: shared.client.pubsub_numsub("tta:asked")[0][1] == 2)
        await one.stub.Classify(ask)
        one.parts.persistence.drain()
        handover = one.parts.persistence.handover
        async with busy(one):
            here = asyncio.ensure_future(one.stub.Classify(ask))
            await until(lambda: one.parts.admission.running_requests > 0)
            there = asyncio.ensure_future(two.stub.Classify(ask))
            await until(lambda: bool(handover and handover.leaving))
        assert ((await here).session.frames, (await there).session.frames) == (2, 3)
        for task in (listening, asker):
            task.cancel()
        await asyncio.gather(listening, asker, return_exceptions=True)


async def test_calls_at_both_servers_by_turns_lose_nothing():
    async with two_servers() as (one, two):
        for number in range(1, 9):
            assert (await answer((one, two)[number % 2], number)).session.frames == number


async def test_one_that_hears_nothing_leaves_what_is_stored():
    async with two_servers(listening=False) as (one, two):
        await answer(one, 1)
        await one.persistence.save_all()
        await answer(one, 2)
        assert (await answer(two, 3)).session.frames == 2


async def test_others_cannot_have_a_session_leave():
    async with two_servers() as (one, two):
        await answer(one, 1)
        channel = two.persistence.store and two.persistence.store.channel
        assert channel
        await channel.ask(b"no question of ours", PATIENCE)
        assert one.running.sessions.get("ann", "cam").frames == 1
