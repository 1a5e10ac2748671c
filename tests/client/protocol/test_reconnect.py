"""A stream whose service is lost: it dials again, keeps its session, and counts what was lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tta_client import AsyncClient, Client, Frame, FrameAnswer, Reconnect, Statistics, TTAClientError
from tta_client.camera import newest
from tta_client.protocol.reconnect import Backoff

from tests.client.peer import Peer, serve_peer
from tests.patience import PATIENCE, until

NAMES = ("cat", "dog", "bird")
QUICKLY = Reconnect(shortest=0.01, longest=0.05)
Watch = Callable[..., list[Any]]


def watch(address: str, frames: Any, statistics: Statistics, **how: Any) -> list[Any]:
    with Client(address) as client:
        return list(client.stream(frames, NAMES, statistics=statistics, **({"reconnect": QUICKLY} | how)))


def watch_async(address: str, frames: Any, statistics: Statistics, **how: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with AsyncClient(address) as client:
            stream = client.stream(frames, NAMES, statistics=statistics, **({"reconnect": QUICKLY} | how))
            return [result async for result in stream]

    return asyncio.run(run())


both = pytest.mark.parametrize("watch", [watch, watch_async])


@both
@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_a_blocking_stream_answers_every_frame_across_lost_calls(
    address: str, peer: Peer, watch: Watch, code: grpc.StatusCode
) -> None:
    """A proxy that loses its server answers CANCELLED."""
    peer.troubles, statistics = [code] * 3, Statistics()
    frames = [b"x", b"xx", b"trouble", b"xxx", b"trouble", b"x"]
    results = watch(address, frames, statistics, session="door")
    assert [r.frame_id for r in results] == [1, 2, 3, 4, 5, 6]
    assert statistics.reconnects == {"service": 3} and not statistics.dropped and statistics.answers == 6
    assert [opened.session_id for opened in peer.opened] == ["door"] * 4


@both
def test_other_policies_lose_the_unanswered_frames(address: str, peer: Peer, watch: Watch) -> None:
    peer.troubles, peer.credits, statistics = [grpc.StatusCode.CANCELLED] * 2, 1, Statistics()

    def camera() -> Iterator[bytes]:
        """One that has nothing new until the service is back: what it sent meanwhile would be lost as well."""
        for number, picture in enumerate((b"x", b"trouble", b"xx", b"trouble", b"xxx")):
            until(lambda: statistics.reconnects["service"] == number // 2)  # noqa: B023 - it is waited for here
            yield picture

    results = watch(address, camera(), statistics, policy="latest")
    assert [r.frame_id for r in results] == [1, 3, 5]
    assert statistics.dropped == {"disconnect": 2} and statistics.reconnects == {"service": 2}
    assert (statistics.sent, statistics.answers) == (5, 3)


@both
def test_a_draining_service_is_followed_with_its_token(address: str, peer: Peer, watch: Watch) -> None:
    """No frame is lost or sent twice: what is under way is answered before the old call ends."""
    statistics = Statistics()
    results = watch(address, [b"x", b"leave", b"xx", b"leave", b"xxx"], statistics, in_flight=1)
    assert [r.frame_id for r in results] == [1, 2, 3, 4, 5]
    assert [opened.resume_token for opened in peer.opened] == [b"", b"go on", b"go on"]
    assert [frame.frame_id for frame in peer.frames] == [1, 2, 3, 4, 5]
    assert statistics.reconnects == {"service": 2}


@both
def test_a_service_that_drains_after_the_last_frame_is_not_followed(address: str, peer: Peer, watch: Watch) -> None:
    assert [r.frame_id for r in watch(address, [b"x", b"leave"], Statistics())] == [1, 2]
    assert len(peer.opened) == 1


OWN = ("a", "b")
MIXED = [Frame(1, b"x", labels=OWN), Frame(2, b"x"), Frame(3, b"x", labels=OWN), Frame(4, b"x")]


@both
def test_labels_of_a_frame_that_its_server_does_not_have_are_registered_again(
    address: str, peer: Peer, watch: Watch
) -> None:
    """In a fleet that has just changed they may be registered at one server, and asked for at another."""
    statistics, peer.elsewhere = Statistics(), [OWN]
    results = watch(address, MIXED, statistics, session="door")
    assert [r.frame_id for r in results] == [1, 2, 3, 4] and not statistics.failures
    assert [r.answer.label in OWN for r in results] == [True, False, True, False]
    assert statistics.reconnects == {"service": 1} and not statistics.dropped
    assert peer.puts == 4  # both sets, on either call


@both
def test_labels_that_stay_unknown_fail_their_frames_and_the_stream_goes_on(
    address: str, peer: Peer, watch: Watch
) -> None:
    statistics, peer.elsewhere = Statistics(), [OWN] * 9
    results = watch(address, MIXED, statistics)
    assert [(r.frame_id, isinstance(r, FrameAnswer)) for r in results] == [(1, False), (2, True), (3, False), (4, True)]
    assert {(r.error.code, r.error.field) for r in results[::2]} == {(grpc.StatusCode.NOT_FOUND, "frame.labels.id")}
    assert statistics.reconnects == {"service": 1}


@both
def test_an_id_that_this_client_has_not_registered_fails_at_once(address: str, peer: Peer, watch: Watch) -> None:
    statistics = Statistics()
    results = watch(address, [Frame(1, b"x", labels="nobody"), Frame(2, b"x")], statistics)
    assert [isinstance(r, FrameAnswer) for r in results] == [False, True] and not statistics.reconnects
    peer.elsewhere = [OWN]
    results = watch(address, MIXED, statistics, reconnect=None)
    assert [isinstance(r, FrameAnswer) for r in results] == [False, True, False, True] and len(peer.opened) == 2


@both
def test_a_silent_service_is_connected_to_again(address: str, peer: Peer, watch: Watch) -> None:
    peer.hushes, statistics = 1, Statistics()
    stalling = Reconnect(0.01, 0.05, stall=0.5)
    assert [r.frame_id for r in watch(address, [b"x", b"hush", b"xx"], statistics, reconnect=stalling)] == [1, 2, 3]
    assert peer.hushes == 0 and len(peer.opened) > statistics.reconnects["service"] > 0  # a busy machine is silent too


@both
def test_the_service_is_killed_and_another_one_starts(watch: Watch) -> None:
    """The labels have gone with it. The camera never stops, nor does anybody help."""
    busy, gone, statistics = threading.Event(), threading.Event(), Statistics()
    before, after, results = Peer(), Peer(), list[Any]()

    def camera() -> Iterator[Frame]:
        for number in range(1, 7):
            yield Frame(number, b"x", labels=("a", "b") if number % 2 else None)
            if number == 3:
                busy.set()
                assert gone.wait(PATIENCE)

    with serve_peer(before) as address:
        watching = threading.Thread(target=lambda: results.extend(watch(address, camera(), statistics, in_flight=1)))
        watching.start()
        assert busy.wait(PATIENCE)
    gone.set()
    with serve_peer(after, address):
        watching.join(PATIENCE)
    assert [r.frame_id for r in results] == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(r, FrameAnswer) for r in results)
    assert statistics.reconnects == {"service": 1} and after.puts == 2


@both
def test_a_final_error_is_raised_at_once(address: str, peer: Peer, watch: Watch) -> None:
    with pytest.raises(TTAClientError, match="session taken over"):
        watch(address, [b"x", b"end", b"x"], Statistics())
    peer.troubles = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(TTAClientError, match="UNAVAILABLE"):
        watch(address, [b"trouble", b"x"], Statistics(), reconnect=None)
    assert len(peer.opened) == 2


@both
def test_an_absent_service_is_an_error_unless_from_the_start_is_set(watch: Watch) -> None:
    with serve_peer(Peer()) as address:
        pass
    with pytest.raises(TTAClientError, match="UNAVAILABLE"):
        watch(address, [b"x"], Statistics())
    results: list[Any] = []
    patient = Reconnect(0.01, 0.05, from_the_start=True)
    waiting = threading.Thread(target=lambda: results.extend(watch(address, [b"x"], Statistics(), reconnect=patient)))
    waiting.start()
    with serve_peer(Peer(), address):
        waiting.join(PATIENCE)
    assert [r.frame_id for r in results] == [1]


def test_closing_ends_a_pause(address: str, peer: Peer) -> None:
    """A camera that waits for its service stops when it is closed, and closes its source."""
    closed, pausing = threading.Event(), threading.Event()

    def camera() -> Iterator[bytes]:
        try:
            yield b"x"
            pausing.set()
            yield b"trouble"
            while True:
                yield b"x"
        finally:
            closed.set()

    async def run() -> None:
        async with AsyncClient(address) as client:
            stream = client.stream(camera(), NAMES, in_flight=1, reconnect=Reconnect(3600, 3600))
            async with stream:
                watching = asyncio.create_task(_all(aiter(stream)))
                await asyncio.to_thread(pausing.wait)
                while peer.troubles:  # noqa: ASYNC110 - another thread takes it
                    await asyncio.sleep(0.01)
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    peer.troubles = [grpc.StatusCode.UNAVAILABLE]
    asyncio.run(run())
    assert closed.wait(PATIENCE)


async def _all(results: AsyncIterator[Any]) -> None:
    async for _ in results:
        pass


@both
@pytest.mark.parametrize("paced", [True, False])
def test_a_silent_service_makes_no_frames_pile_up(watch: Watch, paced: bool) -> None:
    """Half a gigabyte of frames from a camera that cannot wait: newer ones replace them."""
    peer, statistics, drained, errors = Peer(), Statistics(), threading.Event(), list[Exception]()
    peer.hushes = 1

    def camera() -> Iterator[Frame]:
        for number in range(1, 5001):
            yield Frame(number, b"hush" if number == 1 else bytes(100_000))
            while number == 1 and not peer.frames:
                time.sleep(0.001)
        drained.set()

    def run() -> None:
        frames = newest(camera(), statistics)
        try:
            watch(address, frames, statistics, policy="latest", paced=paced, reconnect=None)
        except TTAClientError as error:
            errors.append(error)

    with serve_peer(peer) as address:
        watching = threading.Thread(target=run)
        tracemalloc.start()
        try:
            watching.start()
            assert drained.wait(2 * PATIENCE)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
    watching.join(PATIENCE)
    assert not watching.is_alive() and len(errors) <= 1
    assert statistics.dropped["overtaken"] > 4000 and statistics.sent < 1000 and not statistics.answers


@both
def test_streams_leave_no_thread_behind(address: str, peer: Peer, watch: Watch) -> None:
    before = set(threading.enumerate())  # another test's service may still have its own
    peer.troubles = [grpc.StatusCode.CANCELLED] * 5
    for _ in range(10):
        watch(address, newest(Frame(n, b"trouble") for n in range(1, 4)), Statistics(), policy="latest")
    until(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith(("tta-", "grabber"))])


# ---- pauses between attempts


@given(st.floats(0.01, 1.0), st.floats(1.0, 60.0), st.integers(0, 2**32))
def test_every_pause_is_within_its_bounds(shortest: float, longest: float, seed: int) -> None:
    backoff, before = Backoff(shortest, longest, random.Random(seed)), shortest
    for _ in range(30):
        pause = backoff.pause()
        assert shortest <= pause <= min(longest, 3 * before) + 1e-9
        before = pause
    backoff.reset()
    assert backoff.pause() <= 3 * shortest


def test_pauses_grow_and_differ_between_cameras() -> None:
    one, two = ([b.pause() for _ in range(40)] for b in (Backoff(rng=random.Random(seed)) for seed in (1, 2)))
    assert one[0] != two[0] and max(one + two) == 30.0
    assert sum(one[:3]) < sum(one[-3:])


@pytest.mark.slow
@both
def test_hundreds_of_reconnects_leave_the_clients_memory_as_it_was(address: str, peer: Peer, watch: Watch) -> None:
    held = dict[int, int]()

    class Troubles(list[grpc.StatusCode]):
        def pop(self, place: Any = -1) -> grpc.StatusCode:
            """Another call is lost."""
            if len(self) in (20, 300):
                del peer.headers[:], peer.opened[:], peer.frames[:]  # it is in this process too
                gc.collect()
                held[len(self)] = tracemalloc.get_traced_memory()[0]
            return super().pop(place)

    peer.troubles, statistics = Troubles([grpc.StatusCode.UNAVAILABLE] * 400), Statistics()
    frames = [Frame(number, b"trouble") for number in range(1, 10)]
    logging.disable()  # pytest would keep every line, with the error in it
    tracemalloc.start()
    try:
        watch(address, frames, statistics, policy="block", reconnect=Reconnect(shortest=1e-4, longest=1e-3))
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    assert statistics.reconnects["service"] == 400 and statistics.answers == 9
    assert held[20] - held[300] < 500 * 280  # a message of each call would be more
