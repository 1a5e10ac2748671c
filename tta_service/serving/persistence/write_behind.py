"""Writes sessions into the state store, behind the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ...core.errors import NewerFormat, NotReady, SessionMoved
from ..concurrency import KeyedQueue
from ..sessions.registry import Reason, SessionRegistry
from ..sessions.session import Session
from .encryption import MAC
from .snapshots import Snapshots
from .stores.base import Store
from .stores.records import Stored

log = logging.getLogger(__name__)


class WriteBehind:
    """What the store has to learn. Each write is a compare-and-set, which fails when another server has the session.

    `address()` is this server's address. All work on one session's state is done in the order of `queue`, by owner and
    id.
    """

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        registry: SessionRegistry,
        queue: KeyedQueue,
        address: Callable[[], str],
    ) -> None:
        self._store, self._snapshots, self._registry = store, snapshots, registry
        self._queue, self._address, self._is_failing = queue, address, False
        self._closed = dict[tuple[str, str], int]()  # epochs of closed sessions whose records are not deleted yet
        registry.on_close = self._on_close

    def schedule(self, session: Session) -> asyncio.Task[None] | None:
        """The session's write, a new one or one that waits already; None when nothing has to be written."""
        key = (session.owner, session.id)
        if not is_due(session):
            return None
        if session.stored.queued:
            return self._queue.last(key)
        session.stored.queued = True
        return self._queue.submit(key, partial(self.write, session))

    async def write(self, session: Session) -> None:
        """Writes the session if it has changed. When another server has it, it is closed here, and its stream ends."""
        stored = session.stored
        stored.queued = False
        if not has_changed(session):
            return
        frames, size, lessons = session.frames, session.bytes, session.lessons.changes
        snapshot = await self._snapshots.make(session, group_lessons=False)
        record = Stored(snapshot.epoch, self._address(), snapshot.state)
        try:
            await self._store.write(session.owner, session.id, record, stored.epoch, stored.unanswered)
        except (SessionMoved, NewerFormat) as error:
            log.warning("session %s: %s", session.id, error.message)
            stored.lost = error
            return self._registry.close(session, "moved", error)
        except NotReady as error:
            if not self._is_failing:
                log.warning("session %s was not written; this will be tried again: %s", session.id, error.message)
            self._is_failing = True
            stored.unanswered.add(record.state[:MAC])
            return
        self._is_failing = False
        stored.record(snapshot.epoch, frames, size, lessons)

    async def overwrite(self, session: Session) -> None:
        """Takes a session over that was restored from a snapshot: the store gets that state, whatever it holds."""
        try:
            if (older := await self._store.claim(session.owner, session.id, self._address())) is not None:
                session.epoch = max(session.epoch, older.epoch)
                session.stored.record(older.epoch, -1, -1, -1)  # so the session has changed since
            await self.write(session)
        except NewerFormat as error:
            self._registry.close(session, "moved", error)
            raise
        finally:
            session.stored.restoring = False

    def _on_close(self, session: Session, reason: Reason) -> None:
        """An evicted session, and all of them at the shutdown, go on elsewhere; a closed one leaves the store."""
        key = (session.owner, session.id)
        if reason == "moved":
            return
        if session.stored.resumable or (session.named and reason in ("capacity", "bytes", "shutdown")):
            self.schedule(session)
        elif session.stored.epoch or key in self._queue:
            self._queue.submit(key, partial(self._forget, session))

    async def _forget(self, session: Session) -> None:
        if session.stored.epoch:
            self._closed[session.owner, session.id] = session.stored.epoch
            await self.forget_closed(session.owner, session.id)

    async def forget_closed(self, owner: str, id: str) -> None:
        """Deletes the record of a session that was closed, unless that is done. Raises `NotReady`; may be repeated."""
        if epoch := self._closed.get((owner, id)):
            await self._store.forget(owner, id, epoch)
            self._closed.pop((owner, id), None)

    def schedule_deletions(self) -> None:
        """Of all records that could not be deleted before."""
        for key in list(self._closed):
            if key not in self._queue:
                self._queue.submit(key, partial(self.forget_closed, *key))


def has_changed(session: Session) -> bool:
    """The session has learnt something since its last write."""
    stored = session.stored
    return (session.frames, session.bytes, session.lessons.changes) != (stored.frames, stored.bytes, stored.lessons)


def is_due(session: Session) -> bool:
    """The session has changed and has to be stored: it has a name or a resume token."""
    return has_changed(session) and (session.named or session.stored.resumable)
