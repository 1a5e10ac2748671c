"""Takes sessions over from the state store."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ...core.errors import NewerFormat, NotReady, SessionMoved, TTAError, Unsupported
from ...core.lessons import Example
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session
from .signing import has_lessons
from .snapshots import UNUSABLE, Snapshots
from .stores.base import Store
from .stores.records import Stored
from .write_behind import WriteBehind

log = logging.getLogger(__name__)


class Takeover:
    """What the store has, open here. `address()` is this server's; `ask(owner, id)` has another one write it first."""

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        registry: SessionRegistry,
        writer: WriteBehind,
        address: Callable[[], str],
        ask: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._store, self._snapshots, self._registry = store, snapshots, registry
        self._writer, self._address, self._ask = writer, address, ask

    async def load(self, owner: str, id: str, named: bool) -> None:
        """Takes the session over from the store when the store has a later state.

        Raises as `SessionPersistence.load`.
        """
        try:
            await self._load(owner, id, named)
        except NotReady as error:
            self._store.breaker.warn(f"session {id} cannot be read from the store and gets UNAVAILABLE", error)
            raise

    async def _load(self, owner: str, id: str, named: bool) -> None:
        session, recent = self._registry.get(owner, id), list[Example]()
        if session is not None:
            if session.stored.restoring:  # a snapshot was restored here: the stored state is older
                return
            lost: TTAError = SessionMoved("another server has had the session since", "session_id")
            try:
                if await self._store.epoch(owner, id) <= session.stored.epoch:
                    return
            except NewerFormat as error:
                lost = error
            except NotReady as error:
                self._store.breaker.warn(f"session {id} goes on without an answer from the store", error)
                return
            recent = list(session.recent)  # lessons about pictures that this server has seen may still come
            self._registry.close(session, "moved", lost)
        await self._writer.forget_closed(owner, id)
        await self._ask(owner, id)
        if (stored := await self._store.claim(owner, id, self._address())) is not None:
            session = await self._take_over(owner, id, stored, named)
            for example in recent:
                self._registry.room.remember(session, example)
        elif owner and owner == self._snapshots.adopt_owner:
            await self._adopt(owner, id)

    async def _take_over(self, owner: str, id: str, stored: Stored, named: bool) -> Session:
        """The stored session, or one that begins anew. Raises as `_reinstate`."""
        session = await self._reinstate(owner, id, stored, named)
        current = session is None or self._snapshots.codec.is_current(stored.state)
        if session is None:
            session = self._registry.obtain(owner, id, named)
            session.epoch = stored.epoch
        as_it_is = session.frames, session.bytes, session.lessons.changes
        # What is not encrypted, or by a former secret, is written anew, as if it had changed.
        session.stored.record(stored.epoch, *(as_it_is if current else (-1, -1, -1)))
        return session

    async def _reinstate(
        self, owner: str, id: str, stored: Stored, named: bool, of: str | None = None
    ) -> Session | None:
        """The stored session, open here. None when its state cannot be used, which the log says.

        `of` is the owner of the record, if it is another one. Raises `Unsupported` when a state that is not damaged has
        lessons, which a session that begins anew would overwrite.
        """
        try:
            return await self._snapshots.reinstate(owner, id, stored.state, stored.epoch, named)
        except UNUSABLE as error:
            reason = error.message
        except TTAError:
            raise
        except Exception as error:
            log.exception("the stored state of session %s is not understood", id)
            reason = repr(error)
        if self._snapshots.codec.is_damaged(stored.state):
            await self._store.set_aside(owner if of is None else of, id, reason)
        elif has_lessons(stored.state):
            raise Unsupported(f"this session's lessons cannot be read here: {reason}", "session_id")
        log.warning("session %s begins anew, its stored state cannot be used: %s", id, reason)
        return None

    async def _adopt(self, owner: str, id: str) -> None:
        """Makes a session from before owners one of that owner, here and in the store."""
        stored = await self._store.claim("", id, self._address())
        session = await self._reinstate(owner, id, stored, named=True, of="") if stored else None
        if stored and session:
            await self._writer.write(session)
            if session.stored.epoch:  # else the store does not answer, and the record is adopted another time
                await self._store.forget("", id, stored.epoch)
                log.info("session %s from before owners is now one of %r", id, owner)
