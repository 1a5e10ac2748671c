"""Sessions on their way into the state store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ...core.errors import NotReady, SessionMoved
from ..concurrency.keyed_queue import InOrder
from ..sessions.registry import Register
from ..sessions.session import Session
from .snapshots import Snapshots
from .stores.base import Stored
from .stores.in_thread import AsyncStore
from .versions import Mark, Marks

log = logging.getLogger(__name__)


class Writer:
    """Compares and sets: whoever has lost a session to another server learns it here. Without a `store` nothing is
    ever written.

    `here()` is this server's address. All that is done to one session's state is done in order, by owner and id.
    """

    def __init__(
        self,
        store: AsyncStore | None,
        snapshots: Snapshots,
        register: Register,
        marks: Marks,
        work: InOrder,
        here: Callable[[], str],
    ) -> None:
        self._store, self._snapshots, self._register = store, snapshots, register
        self._marks, self._work, self._here = marks, work, here
        self._queued: set[Session] = set()

    def begin(self, session: Session) -> asyncio.Task[None] | None:
        """The session's write, which may have been asked for before; None when the store is to know no more of it."""
        if self._store is None or not self._marks.due(session):
            return None
        key = (session.owner, session.id)
        if session in self._queued:
            return self._work.last(key)
        self._queued.add(session)
        return self._work.then(key, partial(self.write, session))

    async def write(self, session: Session) -> None:
        """The loser of a session learns it here: our copy is dropped, and its stream ends with where it moved."""
        self._queued.discard(session)
        if self._store is None or not self._marks.changed(session):
            return
        mark, now = self._marks.of(session), (session.frames, session.bytes)
        snapshot = await self._snapshots.of(session)
        stored = Stored(snapshot.epoch, self._here(), snapshot.state)
        try:
            await self._store.write(session.owner, session.id, stored, mark.epoch)
        except SessionMoved as moved:
            log.warning("session %s: %s", session.id, moved.message)
            self._marks.drop(session)
            return self._register.close(session, "moved", moved)
        except NotReady as error:
            return log.warning("session %s was not written: %s", session.id, error.message)
        self._marks.note(session, Mark(snapshot.epoch, *now))

    def part_with(self, session: Session) -> None:
        """It is no longer open here."""
        self._queued.discard(session)
