"""Reads an ordinary iterable from an event loop. A slow camera blocks neither the loop nor its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ..types.frames import close_source

END: Any = object()


async def pull(frames: Iterator[Any]) -> AsyncIterator[Any]:
    """Yields the same frames, each read in a daemon thread. A cancelled read closes the source when it ends."""
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = _next(frames)
            if (picture := await waiting) is END:
                return
            yield picture
    finally:
        if waiting is None or not waiting.cancelled():
            close_source(frames)


def _next(frames: Iterator[Any]) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(picture: Any, error: BaseException | None) -> None:
        if future.cancelled():
            close_source(frames)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(picture)

    def work() -> None:
        picture, error = None, None
        try:
            picture = next(frames, END)
        except BaseException as raised:  # the future raises it in the loop
            error = raised
        try:
            loop.call_soon_threadsafe(settle, picture, error)
        except RuntimeError:  # the loop was closed meanwhile
            close_source(frames)

    threading.Thread(target=work, name="tta-camera-pull", daemon=True).start()
    return future
