"""A session that another server asks for is written before it leaves, so that it lacks no frame there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from ...core.errors import BadRequest, NewerFormat, SessionMoved
from ..concurrency import KeyedQueue
from ..sessions.registry import SessionRegistry
from .encryption import Subject
from .signing import SignedCodec
from .stores.base import Store
from .stores.signed_records import SOON
from .write_behind import WriteBehind

QUESTION = Subject("question", "")


class Handover:
    """Asks the server that has a session to let it go, and lets those go that others ask for.

    That takes a store through which servers hear each other; a folder is none. All work on one session's state is done
    in the order of `queue`, by owner and id. `address()` is this server's.
    """

    def __init__(
        self,
        store: Store,
        codec: SignedCodec,
        registry: SessionRegistry,
        queue: KeyedQueue,
        writer: WriteBehind,
        address: Callable[[], str],
    ) -> None:
        self._channel, self._codec, self._registry = store.channel, codec, registry
        self._queue, self._writer, self._address = queue, writer, address
        self._breaker, self._uses = store.breaker, Counter[tuple[str, str]]()
        self._unused = dict[tuple[str, str], asyncio.Event]()
        self.leaving = set[tuple[str, str]]()  # sessions that go as soon as nobody uses them

    @asynccontextmanager
    async def use(self, key: tuple[str, str], load: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
        """The session of that owner and id stays until the block's end. One that is just leaving is loaded again."""
        while key in self.leaving:
            await asyncio.wait({self._queue.last(key)})
            await load()
        self._uses[key] += 1
        try:
            yield
        finally:
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key]
                if unused := self._unused.pop(key, None):
                    unused.set()

    async def ask(self, owner: str, id: str) -> None:
        """Has the server that has the session write it, if one does. Returns within `SOON` seconds.

        At once while the store does not answer: then the question would not arrive either.
        """
        if self._channel and not self._breaker.is_open:
            question = {"owner": owner, "session": id, "to": self._address()}
            await self._channel.ask(self._codec.dumps(question, {}, QUESTION), SOON)

    async def run(self) -> None:
        """Answers other servers until cancelled."""
        await (self._channel.listen(self._answer) if self._channel else asyncio.Event().wait())

    async def _answer(self, question: bytes) -> bool:
        """Whether this server had the session, which the store has by then."""
        try:
            asked, _ = self._codec.loads(question, QUESTION)
            key, to = (str(asked["owner"]), str(asked["session"])), str(asked["to"])
        except (BadRequest, NewerFormat, LookupError, TypeError):
            return False
        if self._registry.get(*key) is None and key not in self.leaving:
            return False
        await asyncio.wait({self._queue.submit(key, partial(self._leave, key, to))})
        return True

    async def _leave(self, key: tuple[str, str], to: str) -> None:
        self.leaving.add(key)
        try:
            if key in self._uses:
                self._unused[key] = asyncio.Event()
                async with asyncio.timeout(SOON):  # afterwards the other server has taken the session as it was stored
                    await self._unused[key].wait()
            if session := self._registry.get(*key):
                moved = SessionMoved(f"the session has moved to {to or 'another server'}", "session_id")
                self._registry.close(session, "moved", moved)
                session.stored.record(session.stored.epoch, -1, -1, -1)  # frames in progress count as changes
                await self._writer.write(session)
        except TimeoutError:
            return
        finally:
            self.leaving.discard(key)
            self._unused.pop(key, None)
