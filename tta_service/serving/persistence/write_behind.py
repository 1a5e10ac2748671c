"""Writes sessions into the state store, behind the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ...core.errors import NewerFormat, NotReady, SessionMoved
from ..concurrency.keyed_queue import KeyedQueue
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session
from .snapshots import Snapshots
from .stores.base import Stored
from .stores.in_thread import AsyncStore
from .versions import StoredVersion, StoredVersions

log = logging.getLogger(__name__)


class WriteBehind:
    """Each write is a compare-and-set, which fails when another server has the session. Without a `store` it does
    nothing.

    `address()` is this server's address. All work on one session's state is done in order, by owner and id.
    """

    def __init__(
        self,
        store: AsyncStore | None,
        snapshots: Snapshots,
        registry: SessionRegistry,
        versions: StoredVersions,
        queue: KeyedQueue,
        address: Callable[[], str],
    ) -> None:
        self._store, self._snapshots, self._registry = store, snapshots, registry
        self._versions, self._queue, self._address = versions, queue, address
        self._queued: set[Session] = set()

    def __len__(self) -> int:
        """The number of sessions that wait for their write."""
        return len(self._queued)

    def schedule(self, session: Session) -> asyncio.Task[None] | None:
        """The session's write, a new one or one that waits already; None when nothing has to be written."""
        if self._store is None or not self._versions.is_due(session):
            return None
        key = (session.owner, session.id)
        if session in self._queued:
            return self._queue.last(key)
        self._queued.add(session)
        return self._queue.submit(key, partial(self.write, session))

    async def write(self, session: Session) -> None:
        """Writes the session if it has changed. When another server has it, it is closed here, and its stream ends."""
        self._queued.discard(session)
        if self._store is None or not self._versions.has_changed(session):
            return
        version, now = self._versions.of(session), (session.frames, session.bytes)
        snapshot = await self._snapshots.make(session)
        stored = Stored(snapshot.epoch, self._address(), snapshot.state)
        try:
            await self._store.write(session.owner, session.id, stored, version.epoch)
        except (SessionMoved, NewerFormat) as error:
            log.warning("session %s: %s", session.id, error.message)
            self._versions.drop(session)
            return self._registry.close(session, "moved", error)
        except NotReady as error:
            return log.warning("session %s was not written: %s", session.id, error.message)
        self._versions.record(session, StoredVersion(snapshot.epoch, *now))

    def release(self, session: Session) -> None:
        """The session is no longer open here."""
        self._queued.discard(session)
