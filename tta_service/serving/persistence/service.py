"""Sessions and the state store: which are written when, which are taken over, and which were lost to another server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ...core.errors import NewerFormat, NotReady, SessionMoved, TTAError, Unsupported
from ...core.events import Event
from ...core.lessons import Example
from ...core.request import Report
from ..concurrency import KeyedQueue
from ..sessions.session import Session
from ..sessions.session_info import SessionInfo
from ..sessions.sessions import Sessions
from .group_sync import GroupSync
from .signing import has_lessons
from .snapshots import UNUSABLE, Snapshot, Snapshots
from .stores.base import Store, Stored
from .write_behind import WriteBehind, is_due

log = logging.getLogger(__name__)


class SessionPersistence:
    """Stores sessions, and takes over those that the store holds. Without a `store` it only takes snapshots.

    `write_frames` is the number of frames after which a session is written; `address()` is this server's address. All
    work on one session's state is done in order.
    """

    def __init__(
        self,
        sessions: Sessions,
        snapshots: Snapshots,
        store: Store | None = None,
        write_frames: int = 50,
        address: Callable[[], str] = lambda: "",
    ) -> None:
        self._sessions, self._registry, self._snapshots = sessions, sessions.registry, snapshots
        self.store, self._write_frames, self._address = store, write_frames, address
        self._queue, self._draining = KeyedQueue(), False  # the queue is by owner and id
        self.groups = GroupSync(store, self._registry, snapshots) if store else None
        self._writer = WriteBehind(store, snapshots, self._registry, self._queue, address) if store else None

    async def load(self, owner: str, id: str, *, opening: bool = False, named: bool = True, group: str = "") -> None:
        """Takes the session over from the store when the store has a later state than this server.

        The store is asked when the session is not open here, and when it has learnt nothing here since its last write,
        because it may have gone on elsewhere; always for an `opening` stream and for all but single frames. A state
        that cannot be read counts as none, with a warning in the log. Raises `NotReady` when the store does not answer,
        `MemoryFull` when there is no room, `NewerFormat` for what a newer version wrote.
        """
        if self.groups and group:
            await self.groups.load(owner, group)
        if self.store is None or not id:
            return
        session = self._registry.get(owner, id)
        if opening or session is None or not is_due(session):
            await asyncio.shield(self._queue.submit((owner, id), partial(self._load, self.store, owner, id, named)))

    async def snapshot(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. Raises `UnknownSession`, and as `load`."""
        await self.load(owner, id, opening=True)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes, id: str = "") -> SessionInfo:
        """Restores a snapshot; the server that has the session loses it. Raises as `load` and `Snapshots.restore`."""
        session = await self._snapshots.restore(owner, state, id)
        if self._writer is not None:
            session.stored.restoring = True
            await asyncio.shield(self._queue.submit((owner, session.id), partial(self._writer.overwrite, session)))
        return self._sessions.get(owner, session.id)

    def resume_token(self, owner: str, id: str) -> bytes:
        """A token that opens the session's stream again on any server with the store and secret; empty when closed."""
        if (session := self._registry.get(owner, id)) is None:
            return b""
        session.stored.resumable = not session.named
        return self._snapshots.tokens.issue(session)

    def resume(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The session's id in a token, and whether the client gave it. Raises `BadRequest`, `NewerFormat`."""
        return self._snapshots.tokens.read(owner, token)

    async def save(self, owner: str, id: str) -> None:
        """Writes what the session has learnt since its last write, and returns when that is done."""
        session = self._registry.get(owner, id)
        if self._writer and session is not None and (writing := self._writer.schedule(session)):
            await asyncio.wait({writing})  # a failure is in the log, and a later write tries again

    async def save_lessons(self, owner: str, id: str, group: str = "") -> bool:
        """The same, before a teacher has a reply; whether the store has all lessons then.

        Raises `UnknownSession` when the session that was taught is closed, `SessionMoved` when another server has it,
        `NewerFormat` when that one is newer.
        """
        if not id:
            return self.groups is not None and await self.groups.save(owner, group)
        session = self._registry.find(owner, id)
        group = session.group.id if session.group else ""
        stored_group = not group or (self.groups is not None and await self.groups.save(owner, group))
        changes, stored = session.lessons.changes, session.stored
        await self.save(owner, id)
        if stored.lost is not None:
            raise stored.lost
        return stored_group and stored.epoch > 0 and stored.lessons >= changes

    def drain(self) -> None:
        """From now on an answer waits until its session is written, for the next request goes to another server."""
        self._draining = True

    async def before_reply(self, owner: str, id: str) -> None:
        """Writes the session of a unary answer before the answer is sent, while the server drains."""
        if self._draining:
            await self.save(owner, id)

    async def save_all(self, streams: bool = False) -> None:
        """Writes all sessions that have changed; `streams`: also those without a name that a stream has open."""
        if self._writer is None:
            return
        for session in self._registry.open_sessions:
            if streams and session.lease_lost is not None:
                session.stored.resumable = not session.named
            self._writer.schedule(session)
        await self._queue.join()

    async def run(self, every: float = 5.0) -> None:
        """Writes all sessions that have changed, every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.save_all()

    def observe(self, event: Event) -> None:
        """Called for every event; after `write_frames` frames it schedules a write of the session."""
        if self._writer is None or not isinstance(event, Report):
            return
        session = self._registry.get(event.request.owner, event.session.id)
        if session is not None and session.frames - session.stored.frames >= self._write_frames:
            self._writer.schedule(session)

    async def _load(self, store: Store, owner: str, id: str, named: bool) -> None:
        session, recent = self._registry.get(owner, id), list[Example]()
        if session is not None:
            if session.stored.restoring:  # a snapshot was restored here: the stored state is older
                return
            lost: TTAError = SessionMoved("another server has had the session since", "session_id")
            try:
                if await store.epoch(owner, id) <= session.stored.epoch:
                    return
            except NewerFormat as error:
                lost = error
            except NotReady as error:
                return log.warning("session %s goes on without an answer from the store: %s", id, error.message)
            recent = list(session.recent)  # lessons about pictures that this server has seen may still come
            self._registry.close(session, "moved", lost)
        if (stored := await store.claim(owner, id, self._address())) is not None:
            session = await self._take_over(owner, id, stored, named)
            for example in recent:
                self._registry.room.remember(session, example)
        elif owner and owner == self._snapshots.adopt_owner and self._writer:
            await self._adopt(store, self._writer, owner, id)

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

    async def _reinstate(self, owner: str, id: str, stored: Stored, named: bool) -> Session | None:
        """The stored session, open here. None when its state cannot be used, which the log says.

        Raises `Unsupported` when that one has lessons, which a session that begins anew would overwrite.
        """
        try:
            return await self._snapshots.reinstate(owner, id, stored.state, stored.epoch, named)
        except UNUSABLE as error:
            if has_lessons(stored.state):
                reason = f"this session's lessons cannot be read here: {error.message}"
                raise Unsupported(reason, "session_id") from error
            log.warning("session %s begins anew, its stored state cannot be used: %s", id, error.message)
            return None

    async def _adopt(self, store: Store, writer: WriteBehind, owner: str, id: str) -> None:
        """Makes a session from before owners one of that owner, here and in the store."""
        stored = await store.claim("", id, self._address())
        session = await self._reinstate(owner, id, stored, named=True) if stored else None
        if stored and session:
            await writer.write(session)
            if session.stored.epoch:  # else the store does not answer, and the record is adopted another time
                await store.forget("", id, stored.epoch)
                log.info("session %s from before owners is now one of %r", id, owner)
