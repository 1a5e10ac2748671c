"""Writes sessions into the state store, behind the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from ...core.errors import NewerFormat, NotReady, SessionMoved
from ..concurrency import KeyedQueue
from ..sessions.lesson_groups import LessonGroup
from ..sessions.registry import Reason, SessionRegistry
from ..sessions.session import Session
from ..sessions.stored_version import StoredVersion
from .encryption import MAC
from .snapshots import Snapshots
from .stores.base import OutOfRoom, Store
from .stores.records import Stored, name_of

NAMED = 20  # sessions and groups that one line of the log names
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
        self._queue, self._address, self.draining = queue, address, False
        self._closed = dict[tuple[str, str], StoredVersion]()  # of closed sessions whose records are not deleted yet
        self._ended = set[Session]()  # that ended while the server drains, and are not written yet
        registry.on_close = self._on_close

    @property
    def unwritten(self) -> list[Session]:
        """Sessions with changes that the store does not have."""
        return [session for session in (*self._registry.open_sessions, *self._ended) if is_due(session)]

    @property
    def is_behind(self) -> bool:
        """Whether a write or a deletion failed, and is to be tried again."""
        return bool(self._closed) or any(session.stored.unanswered for session in self.unwritten)

    def report_unwritten(self, groups: Sequence[LessonGroup]) -> None:
        """Says what is lost when this server ends now, with these groups that are not written either."""
        sessions = self.unwritten
        if ended := [one.id for one in (*sessions, *groups)]:
            log.error(
                "the state store did not take %d sessions, %d of them with lessons, and %d lesson groups; what they"
                " learnt since their last write is lost: %s",
                *(len(sessions), sum(len(one.own_lessons) > 0 for one in sessions), len(groups)),
                ", ".join(ended[:NAMED]) + ", …" * (len(ended) > NAMED),
            )

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
        if not has_changed(session) or self._is_out_of_room(session):
            return
        frames, size, lessons = session.frames, session.bytes, session.lessons.changes
        snapshot = await self._snapshots.make(session, group_lessons=False)
        record = Stored(snapshot.epoch, self._address(), snapshot.state)
        try:
            await self._store.write(session.owner, session.id, record, stored.epoch, stored.unanswered)
        except (SessionMoved, NewerFormat) as error:
            log.warning("session %s: %s", session.id, error.message)
            stored.lost = error
            self._ended.discard(session)
            return self._registry.close(session, "moved", error)
        except NotReady as error:
            self._store.breaker.warn(f"session {session.id} was not written; this will be tried again", error)
            stored.unanswered.add(record.state[:MAC])
            return
        except OutOfRoom:
            stored.refused = size
            return
        self._ended.discard(session)
        stored.record(snapshot.epoch, frames, size, lessons)

    def _is_out_of_room(self, session: Session) -> bool:
        """Whether the owner still lacks the room for what was refused: then no snapshot is made in vain."""
        if not (room := self._store.room) or not 0 < session.stored.refused <= session.bytes:
            return False
        return room.still_refuses(self._snapshots.codec.tag(session.owner), name_of(session.owner, session.id))

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
        except NotReady as error:
            self._store.breaker.warn(f"session {session.id} was not written; this will be tried again", error)
            raise
        finally:
            session.stored.restoring = False

    def _on_close(self, session: Session, reason: Reason) -> None:
        """An evicted session, and all of them at the shutdown, go on elsewhere; a closed one leaves the store."""
        key = (session.owner, session.id)
        if reason == "moved":
            return
        if session.stored.resumable or (session.named and reason in ("capacity", "bytes", "shutdown")):
            if self.draining:
                self._ended.add(session)
            self.schedule(session)
        elif session.stored.epoch or key in self._queue:
            self._queue.submit(key, partial(self._forget, session))

    async def _forget(self, session: Session) -> None:
        if session.stored.epoch:
            self._closed[session.owner, session.id] = session.stored
            await self.forget_closed(session.owner, session.id)

    async def forget_closed(self, owner: str, id: str) -> None:
        """Deletes the record of a session that was closed, unless that is done. Raises `NotReady`; may be repeated."""
        if stored := self._closed.get((owner, id)):
            try:
                stored.deleted = await self._store.forget(owner, id, stored.epoch)
            except NewerFormat:
                pass  # it stays
            except NotReady as error:
                self._store.breaker.warn(f"session {id} was not deleted in the store; this will be tried again", error)
                raise
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
