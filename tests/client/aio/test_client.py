"""The client for asyncio says the same on the wire as the synchronous one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from tta_client import AsyncClient, Frame, FrameAnswer, FrameFailure, TTAClientError

from tests.client.peer import Peer

NAMES = ("cat", "dog", "bird")


async def test_labels_are_registered_again_when_the_service_forgot_them(address: str, peer: Peer) -> None:
    async with AsyncClient(address) as client:
        assert (await client.classify(b"four", NAMES)).label == "dog"
        peer.forget()
        assert (await client.classify(b"four", NAMES)).label == "dog"
        peer.forget()
        assert [r.frame_id async for r in client.stream([b"x", b"xx"], NAMES)] == [1, 2]
    assert peer.puts == 3


async def test_an_error_carries_its_details(address: str) -> None:
    async with AsyncClient(address) as client:
        with pytest.raises(TTAClientError) as caught:
            await client.classify(b"bad", NAMES)
    assert (caught.value.code, caught.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "image")
    assert caught.value.retry_after == 2.5


async def test_frames_of_any_iterable_are_answered_in_order(address: str) -> None:
    async def camera() -> AsyncIterator[Frame]:
        for number in range(1, 21):
            await asyncio.sleep(0)
            yield Frame(number, b"bad" if number == 7 else b"x")

    async with AsyncClient(address) as client:
        results = [r async for r in client.stream(camera(), NAMES, in_flight=2)]
        assert [r.frame_id for r in results] == list(range(1, 21))
        assert [r.frame_id for r in results if isinstance(r, FrameFailure)] == [7]
        assert [r.frame_id async for r in client.stream(iter([b"x"] * 5), NAMES)] == [1, 2, 3, 4, 5]


async def test_what_the_source_raises_comes_after_the_answers(address: str) -> None:
    def frames() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the cable is out")

    async with AsyncClient(address) as client:
        seen = []
        with pytest.raises(OSError, match="the cable is out"):
            async for result in client.stream(frames(), NAMES):
                seen.append(result)  # noqa: PERF401 - what came before the error counts
    assert len(seen) == 1


async def test_the_status_that_ends_a_stream_is_raised(address: str) -> None:
    async with AsyncClient(address) as client:
        with pytest.raises(TTAClientError, match="session taken over") as caught:
            _ = [r async for r in client.stream([b"x", b"end", b"x", b"x"], NAMES)]
    assert caught.value.code is grpc.StatusCode.ABORTED


async def test_many_streams_share_one_client(address: str) -> None:
    async with AsyncClient(address) as client:

        async def watch(length: int) -> list[str]:
            results = client.stream([b"x" * length] * 5, NAMES)
            return [r.answer.label async for r in results if isinstance(r, FrameAnswer)]

        labels = await asyncio.gather(*(watch(n) for n in range(1, 7)))
    assert labels == [[NAMES[n % 3]] * 5 for n in range(1, 7)]


async def test_a_session_is_snapshot_and_restored(address: str, peer: Peer) -> None:
    async with AsyncClient(address) as client:
        assert (await client.restore(await client.snapshot("door"))).epoch == 4
        assert (await client.classify(b"four", NAMES, session="door")).label == "dog"
        assert [r.frame_id async for r in client.stream([b"x"], NAMES[:1], session="door")] == [1]
    assert [headers.get("x-session-id") for headers in peer.headers] == ["door"] * 6  # for proxies


async def test_a_draining_service_gives_a_token_that_resumes_the_stream(address: str, peer: Peer) -> None:
    async with AsyncClient(address) as client:
        stream = client.stream([b"x", b"leave"], NAMES)
        assert [result.frame_id async for result in stream] == [1, 2]
        assert [r.frame_id async for r in client.stream([b"x"], NAMES, resume_token=stream.resume_token)] == [1]
    assert [opened.resume_token for opened in peer.opened] == [b"", b"go on"]
