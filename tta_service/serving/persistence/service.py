"""Sessions and the state store: which are written when, which are taken over, and which were lost to another server."""

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
    """Stores sessions, and takes over those that the store holds. Without a `store` it only takes snapshots.

    Calls of the store block in `lane`; `write_frames` is the number of frames after which a session is written;
    `address()` is this server's address. All work on one session's state is done in order.
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
        self._restoring: set[Session] = set()  # their claims wait in the queue
        self._draining = False
        if self._store is not None:
            sessions.registry.on_close = self._on_close

    @property
    def tracked(self) -> int:
        """Open or ending sessions that are stored, resumable or about to be written."""
        return len(self._versions) + len(self._writer)

    async def load(self, owner: str, id: str, *, opening: bool = False, named: bool = True) -> None:
        """Takes the session over from the store when the store has a later state than this server.

        The store is asked when a stream is `opening`, when the session is not open here, and when it has learnt nothing
        here since its last write, because it may have gone on elsewhere. A state that cannot be read counts as none,
        with a warning in the log. Raises `NotReady` when the store does not answer, `MemoryFull` when there is no
        room, `NewerFormat` for what a newer version wrote.
        """
        session = self._sessions.registry.get(owner, id)
        store = self._store
        if store is not None and id and (opening or session is None or not self._versions.is_due(session)):
            await asyncio.shield(self._queue.submit((owner, id), partial(self._load, store, owner, id, named)))

    async def snapshot(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. Raises `UnknownSession`, and as `load`."""
        await self.load(owner, id)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """Restores a snapshot; the server that has the session loses it. Raises as `load` and `Snapshots.restore`."""
        info = await self._snapshots.restore(owner, state)
        store, session = self._store, self._sessions.registry.get(owner, info.id)
        if store is None or session is None:
            return info

        async def claim() -> None:
            try:
                if (stored := await store.claim(owner, info.id, self._address())) is not None:
                    session.epoch = max(session.epoch, stored.epoch)
                    self._versions.record(session, StoredVersion(stored.epoch, -1, -1))
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
        """A token that opens the session's stream again on any server with the store and secret; empty when closed."""
        session = self._sessions.registry.get(owner, id)
        if session is None:
            return b""
        if self._store is not None:
            self._versions.make_resumable(session)
        return self._snapshots.tokens.issue(session)

    def resume(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The session's id in a token, and whether the client gave it. Raises `BadRequest`, `NewerFormat`."""
        return self._snapshots.tokens.read(owner, token)

    async def save(self, owner: str, id: str) -> None:
        """Writes what the session has learnt since its last write, and returns when that is done."""
        session = self._sessions.registry.get(owner, id)
        if session is not None and (writing := self._writer.schedule(session)):
            await asyncio.shield(writing)

    def drain(self) -> None:
        """From now on an answer waits until its session is written, for the next request goes to another server."""
        self._draining = True

    async def before_reply(self, owner: str, id: str) -> None:
        """Writes the session of a unary answer before the answer is sent, while the server drains."""
        if self._draining and id:
            await self.save(owner, id)

    async def save_all(self, streams: bool = False) -> None:
        """Writes all sessions that have changed; `streams`: also those without a name that a stream has open."""
        for session in self._sessions.registry.open_sessions:
            if self._store is not None and streams and session.lease_lost is not None:
                self._versions.make_resumable(session)
            self._writer.schedule(session)
        await self._queue.join()

    async def run(self, every: float = 5.0) -> None:
        """Writes all sessions that have changed, every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.save_all()

    def observe(self, event: Event) -> None:
        """Called for every event; after `write_frames` frames it schedules a write of the session."""
        if self._store is None or not isinstance(event, Report):
            return
        session = self._sessions.registry.get(event.request.owner, event.session.id)
        if session is not None and session.frames - self._versions.of(session).frames >= self._write_frames:
            self._writer.schedule(session)

    async def _load(self, store: AsyncStore, owner: str, id: str, named: bool) -> None:
        registry, session = self._sessions.registry, self._sessions.registry.get(owner, id)
        if session in self._restoring:  # a snapshot was restored here: the stored state is older
            return
        if session is not None:
            lost: TTAError = SessionMoved("another server has had the session since", "session_id")
            try:
                if await store.epoch(owner, id) <= self._versions.of(session).epoch:
                    return
            except NewerFormat as error:
                lost = error
            except NotReady as error:
                return log.warning("session %s goes on without an answer from the store: %s", id, error.message)
            registry.close(session, "moved", lost)
        stored = await store.claim(owner, id, self._address())
        if stored is None:
            return
        try:
            session = await self._snapshots.reinstate(owner, id, stored.state, stored.epoch, named)
        except UNUSABLE as error:
            log.warning("session %s begins anew, its stored state cannot be used: %s", id, error.message)
            session = registry.obtain(owner, id, named)
            session.epoch = stored.epoch
        self._versions.record(session, StoredVersion(stored.epoch, session.frames, session.bytes))

    def _on_close(self, session: Session, reason: Reason) -> None:
        """An evicted session, and all of them at the shutdown, go on elsewhere; a closed one leaves the store."""
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
