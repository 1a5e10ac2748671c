"""The state store's side of the sessions: who is written when, who is taken over, who has been lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from ...core.errors import (
    BadLabels,
    BadParameters,
    BadRequest,
    NewerFormat,
    NotReady,
    SessionInUse,
    SessionMoved,
    TTAError,
    UnknownReducer,
    UnknownStrategy,
)
from ...core.events import Event
from ...core.request import Report
from ..concurrency.keyed_queue import KeyedQueue
from ..sessions.registry import Reason
from ..sessions.session import Session, SessionInfo
from ..sessions.sessions import Sessions
from .snapshots import Snapshot, Snapshots
from .stores.base import Store
from .stores.in_thread import AsyncStore
from .versions import StoredVersion, StoredVersions
from .write_behind import WriteBehind

UNUSABLE = (BadRequest, BadLabels, BadParameters, UnknownStrategy, UnknownReducer, SessionInUse)  # of a stored state
log = logging.getLogger(__name__)


class SessionPersistence:
    """Named sessions as they survive this server; without a `store` they do not, and nothing here costs anything.

    `lane` is where the store blocks, `write_frames` after how many frames a session is written, `address()` this
    server's address. All that is done to one session's state is done in order.
    """

    def __init__(
        self,
        sessions: Sessions,
        snapshots: Snapshots,
        store: Store | None = None,
        lane: Executor | None = None,
        write_frames: int = 50,
        address: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = AsyncStore(store, lane) if store is not None and lane is not None else None
        self._sessions, self._snapshots, self._write_frames, self._address = sessions, snapshots, write_frames, address
        self._versions, self._queue = StoredVersions(), KeyedQueue()  # by owner and id
        self._writer = WriteBehind(self._store, snapshots, sessions.registry, self._versions, self._queue, address)
        self._restoring: set[Session] = set()  # whose claim waits for what is under way with their id
        self._draining = False
        if self._store is not None:
            sessions.registry.on_close = self._on_close

    async def load(self, owner: str, id: str, *, opening: bool = False, named: bool = True) -> None:
        """The session goes on here if the store knows more of it than we do; `opening` a stream asks in any case.

        One that has learnt nothing here since its last write may have gone on elsewhere, and the store is asked. A
        state that cannot be read is as good as none, and said in the log. Raises `NotReady` when the store does not
        answer, `MemoryFull` when there is no room, `NewerFormat` for what a newer version wrote.
        """
        session = self._sessions.registry.get(owner, id)
        store = self._store
        if store is not None and id and (opening or session is None or not self._versions.is_due(session)):
            await asyncio.shield(self._queue.submit((owner, id), partial(self._load, store, owner, id, named)))

    async def snapshot(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. `UnknownSession`."""
        await self.load(owner, id)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """Restores a snapshot; other servers lose the session to us. Raises as `Snapshots.restore`."""
        info = await self._snapshots.restore(owner, state)
        store, session = self._store, self._sessions.registry.get(owner, info.id)
        if store is None or session is None:
            return info

        async def claim() -> None:
            try:
                if (held := await store.claim(owner, info.id, self._address())) is not None:
                    session.epoch = max(session.epoch, held.epoch)
                    self._versions.record(session, StoredVersion(held.epoch, -1, -1))
                await self._writer.write(session)
            except NewerFormat as error:
                self._sessions.registry.close(session, "moved", error)
                raise
            finally:
                self._restoring.discard(session)

        self._restoring.add(session)
        await asyncio.shield(self._queue.submit((owner, info.id), claim))
        return self._sessions.get(owner, info.id)

    def resume_token(self, owner: str, id: str) -> bytes:
        """Opens the stream again, here or on a server with the same store and secret. Empty when it is gone."""
        session = self._sessions.registry.get(owner, id)
        if session is None:
            return b""
        if self._store is not None:
            self._versions.make_resumable(session)
        return self._snapshots.tokens.issue(session)

    def resume(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The session's id, and whether the client gave it that name. `BadRequest`."""
        return self._snapshots.tokens.read(owner, token)

    async def save(self, owner: str, id: str) -> None:
        """Returns when the store has all of a session that it is to keep."""
        session = self._sessions.registry.get(owner, id)
        if session is not None and (writing := self._writer.schedule(session)):
            await asyncio.shield(writing)

    def drain(self) -> None:
        """From now on each answer's session is written before the answer leaves: the next question goes elsewhere."""
        self._draining = True

    async def before_reply(self, owner: str, id: str) -> None:
        """Called before a unary answer leaves."""
        if self._draining and id:
            await self.save(owner, id)

    async def save_all(self, streams: bool = False) -> None:
        """The same for all sessions; `streams`: also for the nameless ones that a stream has open."""
        for session in self._sessions.registry.open_sessions:
            if self._store is not None and streams and session.lease_lost is not None:
                self._versions.make_resumable(session)
            self._writer.schedule(session)
        await self._queue.join()

    async def run(self, every: float = 5.0) -> None:
        """Writes what has changed, for ever."""
        while True:
            await asyncio.sleep(every)
            await self.save_all()

    def observe(self, event: Event) -> None:
        """Hears of every frame, and writes its session after every so many."""
        if self._store is None or not isinstance(event, Report):
            return
        session = self._sessions.registry.get(event.request.owner, event.session.id)
        if session is not None and session.frames - self._versions.of(session).frames >= self._write_frames:
            self._writer.schedule(session)

    async def _load(self, store: AsyncStore, owner: str, id: str, named: bool) -> None:
        registry, session = self._sessions.registry, self._sessions.registry.get(owner, id)
        if session in self._restoring:  # the store's is older, and nobody else's
            return
        if session is not None:
            lost: TTAError = SessionMoved("another server has had the session since", "session_id")
            try:
                if await store.epoch(owner, id) <= self._versions.of(session).epoch:
                    return
            except NewerFormat as error:
                lost = error
            except NotReady as error:
                return log.warning("session %s goes on unasked: %s", id, error.message)
            registry.close(session, "moved", lost)
        held = await store.claim(owner, id, self._address())
        if held is None:
            return
        try:
            session = await self._snapshots.reinstate(owner, id, held.state, held.epoch, named)
        except UNUSABLE as error:
            log.warning("session %s begins anew, its stored state cannot be used: %s", id, error.message)
            session = registry.obtain(owner, id, named)
            session.epoch = held.epoch
        self._versions.record(session, StoredVersion(held.epoch, session.frames, session.bytes))

    def _on_close(self, session: Session, reason: Reason) -> None:
        """Who gives way or stops goes on elsewhere; who has ended is forgotten."""
        outlives = (session.named and reason in ("capacity", "bytes", "shutdown")) or self._versions.is_resumable(
            session
        )
        key = (session.owner, session.id)
        if reason == "moved" or (not outlives and session not in self._versions and key not in self._queue):
            return self._release(session)
        if not outlives:
            self._queue.submit(key, partial(self._forget, session))
        elif writing := self._writer.schedule(session):
            writing.add_done_callback(lambda _: self._release(session))
        else:
            self._release(session)

    async def _forget(self, session: Session) -> None:
        try:
            if self._store is not None and (epoch := self._versions.of(session).epoch):
                await self._store.forget(session.owner, session.id, epoch)
        finally:
            self._release(session)

    def _release(self, session: Session) -> None:
        self._versions.release(session)
        self._writer.release(session)
