from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.patience import PATIENCE
from tests.serving.harness import acquire, harness, make_request, settle
from tests.serving.toys import Diary, Gated
from tta_service.core.errors import BadRequest, MemoryFull, SessionTaken, UnknownSession
from tta_service.core.events import Closed
from tta_service.core.request import SessionStatus
from tta_service.serving.sessions.lease import SessionLease
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.serving.sessions.sessions import Sessions
from tta_service.strategies.zero_shot import ZeroShot

SIZE = 16 * 4 + 8 + 2 * 5 * 4 + 8  # bytes of one diary, and of its guard of five labels


class Watched:
    def __init__(self, idle: float = 300.0, limits: MemoryLimits | None = None) -> None:
        self.now, self.events = 100.0, list[Closed]()
        self.sessions = Sessions(idle, limits, self.events.append, lambda: self.now)

    def touch(self, id: str, owner: str = "") -> None:
        with self.sessions.scope(make_request(0, Diary(), session=id, owner=owner)):
            pass


def begun(lease: SessionLease) -> SessionLease:
    """The stream has sent a frame."""
    lease.begin()
    return lease


@pytest.mark.parametrize("id", ["a b", "ä", "x" * 129, "a/b", "a\n", "\x00"])
async def test_a_malformed_id_is_refused(id: str):
    with pytest.raises(BadRequest) as refused:
        Watched().touch(id)
    assert refused.value.field == "session_id"


async def test_owners_do_not_see_each_other():
    watched = Watched()
    watched.touch("cam", "ann")
    watched.touch("cam", "bob")
    assert [info.id for info in watched.sessions.list("ann")] == ["cam"]
    assert watched.sessions.list("") == ()
    for call in (watched.sessions.get, watched.sessions.close):
        with pytest.raises(UnknownSession):
            call("eve", "cam")
    with pytest.raises(UnknownSession):
        await watched.sessions.reset("eve", "cam")
    watched.sessions.close("ann", "cam")
    assert watched.sessions.get("bob", "cam").id == "cam"


async def test_a_named_session_outlives_its_calls_and_ends_when_idle():
    watched = Watched(idle=300)
    watched.touch("cam")
    watched.now += 200
    watched.touch("other")
    watched.now += 99
    watched.sessions.expire()
    assert watched.sessions.get("", "cam").idle == 299
    watched.now += 1
    watched.sessions.expire()
    watched.sessions.expire()
    assert [info.id for info in watched.sessions.list("")] == ["other"]
    assert watched.events == [Closed("idle", 0)]


async def test_an_idle_time_of_zero_ends_a_session_with_its_last_use():
    watched = Watched(idle=0)
    with watched.sessions.lease("", "cam"):
        watched.touch("cam")
        assert watched.sessions.counters.sessions == 1
    assert watched.events == [Closed("idle", 0)]


async def test_an_open_stream_keeps_its_session():
    watched = Watched(idle=10)
    with watched.sessions.lease("", "cam"):
        watched.now += 1000
        watched.sessions.expire()
        assert watched.sessions.counters.streams == 1
    watched.now += 9
    watched.sessions.expire()
    assert watched.sessions.counters.sessions == 1 and watched.sessions.counters.streams == 0
    watched.now += 1
    watched.sessions.expire()
    assert watched.events == [Closed("idle", 0)]


async def test_a_stream_without_a_name_gets_one_that_ends_with_it():
    watched = Watched()
    with watched.sessions.lease("") as one, watched.sessions.lease("") as two:
        assert one.session != two.session and len(one.session) == 32
        assert one.status().origin == "fresh"
    assert watched.events == [Closed("client", 0)] * 2


async def test_a_newer_stream_takes_the_session_over():
    watched = Watched()
    with watched.sessions.lease("", "cam") as older:
        lost = asyncio.create_task(older.wait_lost(9.0))
        with watched.sessions.lease("", "cam") as newer:
            assert isinstance(await lost, SessionTaken)
            assert watched.sessions.counters.streams == 1
            assert watched.sessions.get("", "cam").epoch == 2
            still = asyncio.create_task(newer.wait_lost(9.0))
            await settle()
            assert not still.done()
            still.cancel()
            older.__exit__(None, None, None)  # the older one's end does not end the newer one's hold
            assert watched.sessions.counters.streams == 1
    assert watched.sessions.counters.streams == 0 and watched.sessions.counters.sessions == 1


async def test_closing_a_session_notifies_its_open_stream():
    watched = Watched()
    with watched.sessions.lease("", "cam") as stream:
        watched.sessions.close("", "cam")
        assert isinstance(await stream.wait_lost(9.0), UnknownSession)
        assert watched.sessions.counters.streams == 0
    assert watched.events == [Closed("client", 0)]
    with pytest.raises(UnknownSession):
        watched.sessions.close("", "cam")


async def test_a_request_without_session_and_memory_opens_none():
    watched = Watched(limits=MemoryLimits(sessions=1))
    with begun(watched.sessions.lease("", "cam")):  # there is room for no other
        with watched.sessions.scope(make_request(0, ZeroShot(), frame_id=7)) as one:
            assert watched.sessions.counters.sessions == 1 and one.turn(ZeroShot()) is None
            first, again = one.count_frame(), one.count_frame()
        with watched.sessions.scope(make_request(0, ZeroShot())) as two:
            assert two.count_frame().id != first.id
        with pytest.raises(MemoryFull):
            watched.sessions.scope(make_request(0, Diary()))
    assert first == again == SessionStatus(first.id, "fresh", 1, 0, False, 7) and len(first.id) == 32
    assert watched.events == []


async def test_at_shutdown_every_session_closes_once():
    watched = Watched()
    for name in "ab":
        watched.touch(name)
    watched.sessions.close_all()
    watched.sessions.close_all()
    assert watched.events == [Closed("shutdown", 0)] * 2


async def test_the_longest_idle_session_makes_room_for_a_new_one():
    watched = Watched(limits=MemoryLimits(sessions=2))
    watched.touch("a")
    watched.touch("b")
    watched.touch("a")
    watched.touch("c")
    assert [info.id for info in watched.sessions.list("")] == ["a", "c"]
    with begun(watched.sessions.lease("", "a")), begun(watched.sessions.lease("", "c")):
        with pytest.raises(MemoryFull):
            watched.touch("d")
        watched.touch("a")  # those that exist go on
    assert watched.events == [Closed("capacity", 0)]


async def test_the_end_of_a_stream_is_a_use_of_its_session():
    watched = Watched(limits=MemoryLimits(sessions=2))
    with begun(watched.sessions.lease("", "a")):
        watched.touch("b")
    watched.touch("c")
    assert [info.id for info in watched.sessions.list("")] == ["a", "c"]


async def test_a_memory_over_the_session_limit_is_refused_before_it_sees_a_frame():
    async with harness(limits=MemoryLimits(session=2 * SIZE - 1)) as home:
        await home.engine.classify(make_request(0, Diary(), session="cam"))
        with pytest.raises(MemoryFull):
            await home.engine.classify(make_request(0, Diary(views=2), session="cam"))
        after = await home.engine.classify(make_request(1, Diary(), session="cam"))
        assert after.session.frames == 2 and after.session.memory_bytes == SIZE


async def test_bytes_are_bounded_for_each_owner_and_for_all():
    async with harness(limits=MemoryLimits(owner=2 * SIZE, total=3 * SIZE)) as home:
        for name in "abc":
            await home.engine.classify(make_request(0, Diary(), session=name, owner="ann"))
        assert [info.id for info in home.sessions.list("ann")] == ["b", "c"]
        await home.engine.classify(make_request(0, Diary(), session="x", owner="bob"))
        await home.engine.classify(make_request(0, Diary(), session="y", owner="bob"))
        assert [info.id for info in home.sessions.list("ann")] == ["c"]  # in all there is room for three
        held = [begun(home.sessions.lease(owner, name)) for owner, name in (("ann", "c"), ("bob", "x"), ("bob", "y"))]
        with held[0], held[1], held[2], pytest.raises(MemoryFull):
            await home.engine.classify(make_request(0, Diary(), session="z", owner="eve"))
        assert home.of(Closed) == [Closed("bytes", 1), Closed("bytes", 1)]
        assert home.sessions.counters.bytes == 3 * SIZE


async def test_the_owner_who_has_more_than_an_equal_share_gives_way():
    async with harness(limits=MemoryLimits(total=4 * SIZE)) as home:
        await home.engine.classify(make_request(0, Diary(), session="hers", owner="ann"))  # the one idle for longest
        for name in "abcd":
            await home.engine.classify(make_request(0, Diary(), session=name, owner="bob"))
        assert [info.id for info in home.sessions.list("ann")] == ["hers"]
        assert [info.id for info in home.sessions.list("bob")] == ["b", "c", "d"]
        held = [begun(home.sessions.lease("bob", name)) for name in "bcd"]
        with held[0], held[1], held[2], pytest.raises(MemoryFull):  # nor when all of his own are in use
            await home.engine.classify(make_request(0, Diary(), session="e", owner="bob"))
        assert [info.id for info in home.sessions.list("ann")] == ["hers"]
        await home.engine.classify(make_request(0, Diary(), session="second", owner="ann"))
        assert sum(info.memory_bytes for info in home.sessions.list("bob")) == 2 * SIZE


async def test_many_sessions_of_one_owner_push_out_none_of_another():
    watched = Watched(limits=MemoryLimits(sessions=4))
    watched.sessions.registry.obtain("ann", "hers")
    for number in range(20):
        watched.sessions.registry.obtain("bob", str(number))
    assert [info.id for info in watched.sessions.list("ann")] == ["hers"]
    assert [info.id for info in watched.sessions.list("bob")] == ["17", "18", "19"]


async def test_the_first_answer_of_a_session_that_was_evicted_says_so():
    async with harness(limits=MemoryLimits(total=2 * SIZE)) as home:
        for name in "abc":
            await home.engine.classify(make_request(0, Diary(), session=name))
        again = [(await home.engine.classify(make_request(0, Diary(), session="a"))).session for _ in range(2)]
        assert [(one.origin, one.memory_reset) for one in again] == [("fresh", True), ("continued", False)]
        home.sessions.close("", "a")  # by its owner: nothing was lost
        assert not (await home.engine.classify(make_request(0, Diary(), session="a"))).session.memory_reset


async def test_nothing_is_evicted_when_eviction_would_not_suffice():
    async with harness(limits=MemoryLimits(total=2 * SIZE)) as home:
        await home.engine.classify(make_request(0, Diary(), session="old"))
        gated = Gated()
        busy = asyncio.create_task(home.engine.classify(make_request(0, gated, session="busy")))
        assert await acquire(gated.entered)
        await home.engine.classify(make_request(0, Diary(), session="newer"))  # the old one goes, the busy one cannot
        assert [info.id for info in home.sessions.list("")] == ["busy", "newer"]
        with begun(home.sessions.lease("", "newer")), pytest.raises(MemoryFull):
            await home.engine.classify(make_request(0, Diary(), session="last"))
        gated.go.release()
        await busy


async def test_a_reset_is_ordered_like_a_frame():
    gated = Gated()
    async with harness() as home:
        frames = [asyncio.create_task(home.engine.classify(make_request(i, gated, session="cam"))) for i in range(2)]
        assert await acquire(gated.entered)
        reset = asyncio.create_task(home.sessions.reset("", "cam"))
        await settle()
        later = asyncio.create_task(home.engine.classify(make_request(2, gated, session="cam")))
        await settle()
        assert not reset.done()
        gated.go.release(3)
        before, after = await asyncio.gather(*frames), await later
        assert (await reset).frames == 2
        fresh = await home.engine.classify(make_request(2, Diary()))
    assert not before[1].session.memory_reset and after.session.memory_reset
    assert after.session.frames == 3
    assert after.logits.tolist() == fresh.logits.tolist()


async def test_a_reset_happens_even_when_its_caller_has_left():
    gated = Gated()
    async with harness() as home:
        frame = asyncio.create_task(home.engine.classify(make_request(0, gated, session="cam")))
        assert await acquire(gated.entered)
        reset = asyncio.create_task(home.sessions.reset("", "cam"))
        await settle()
        reset.cancel()
        gated.go.release(2)
        await frame
        after = await home.engine.classify(make_request(2, gated, session="cam"))
        assert after.session.memory_reset and home.sessions.counters.bytes == SIZE


async def test_a_session_closed_with_a_frame_in_the_lane_still_answers_and_counts_no_bytes():
    gated = Gated()
    async with harness() as home:
        frame = asyncio.create_task(home.engine.classify(make_request(0, gated, session="cam")))
        assert await acquire(gated.entered)
        home.sessions.close("", "cam")
        gated.go.release()
        assert (await frame).session.id == "cam"
        assert home.sessions.counters.sessions == home.sessions.counters.bytes == 0
        assert home.of(Closed) == [Closed("client", 0)]


async def test_an_unnamed_session_waits_for_the_lane_before_it_ends():
    gated = Gated()
    async with harness() as home:
        frame = asyncio.create_task(home.engine.classify(make_request(0, gated)))
        assert await acquire(gated.entered)
        frame.cancel()
        await settle()
        assert home.sessions.counters.sessions == 1 and home.of(Closed) == []
        gated.go.release()
        async with asyncio.timeout(PATIENCE):
            while home.sessions.counters.sessions:  # noqa: ASYNC110 - the lane ends it, without a caller that waits
                await asyncio.sleep(0.001)
        assert home.of(Closed) == [Closed("client", 1)]


async def test_memories_are_counted_by_strategy_and_given_back():
    async with harness() as home:
        await home.engine.classify(make_request(0, Diary(), session="a"))
        await home.engine.classify(make_request(0, Diary(), session="b"))
        assert home.sessions.counters.bytes_by_strategy == {"diary": 2 * SIZE}
        assert home.sessions.get("", "a").strategies == ("diary",)
        await home.sessions.reset("", "a")
        assert home.sessions.counters.bytes == SIZE and home.sessions.get("", "a").strategies == ()
        home.sessions.close_all()
        assert home.sessions.counters.bytes_by_strategy == {} and home.sessions.counters.bytes == 0


async def test_counters_may_be_read_from_another_thread():
    async with harness() as home:
        with ThreadPoolExecutor(1) as elsewhere:
            reading = elsewhere.submit(lambda: [home.sessions.counters for _ in range(2000)])
            for i in range(30):
                await home.engine.classify(make_request(0, Diary(), session=f"s{i % 7}"))
            assert all(seen.bytes % SIZE == 0 for seen in reading.result())


async def test_a_silent_stream_gives_its_place_and_the_last_places_are_for_owners_who_have_none():
    watched = Watched(limits=MemoryLimits(sessions=32))  # two of them are kept
    with watched.sessions.lease("ann", "silent") as silent:
        held = [begun(watched.sessions.lease("ann", f"s{number}")) for number in range(29)]
        held.append(begun(watched.sessions.lease("ann", "s29")))
        assert isinstance(await silent.wait_lost(9.0), MemoryFull)
        with pytest.raises(MemoryFull, match="for owners who have none"):
            watched.sessions.lease("ann", "more")
        held.append(begun(watched.sessions.lease("bob", "first")))
        with pytest.raises(MemoryFull, match="for owners who have none"):
            watched.sessions.lease("bob", "second")
        held.append(begun(watched.sessions.lease("cid", "first")))
        with pytest.raises(MemoryFull):
            watched.sessions.lease("dan", "first")
        for lease in held:
            lease.__exit__(None, None, None)
