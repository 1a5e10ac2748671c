"""A state store whose calls do not block the event loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from ....core.errors import NotReady
from ...concurrency.executors import run
from .base import Store, Stored

T = TypeVar("T")


class AsyncStore:
    """The methods of `Store`, each run in the store's own lane. They raise `NotReady` when it cannot be reached."""

    def __init__(self, store: Store, lane: Executor) -> None:
        self._store, self._lane = store, lane

    async def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        return await self._call(self._store.claim, owner, session, holder)

    async def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        await self._call(self._store.write, owner, session, stored, after)

    async def epoch(self, owner: str, session: str) -> int:
        return await self._call(self._store.epoch, owner, session)

    async def forget(self, owner: str, session: str, epoch: int) -> None:
        await self._call(self._store.forget, owner, session, epoch)

    async def _call(self, method: Callable[..., T], *arguments: Any) -> T:
        try:
            return await run(self._lane, partial(method, *arguments))
        except OSError as error:
            raise NotReady(str(error)) from error
