"""The end of a program that leaves a stream open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tta_client import AsyncClient

NAMES = ("cat", "dog", "bird")


def endless() -> Iterator[bytes]:
    while True:
        yield b"x"


async def silent() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(1e6)


@pytest.mark.parametrize("source", [endless, silent])
def test_a_stream_that_was_not_closed_lets_its_event_loop_end(address: str, source: Any) -> None:
    troubles: list[dict[str, Any]] = []

    async def leave() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
        stream = AsyncClient(address).stream(source(), NAMES)
        assert (await anext(aiter(stream))).frame_id == 1
        return stream

    asyncio.run(asyncio.wait_for(leave(), 60))
    assert not troubles
