"""Sessions and the state store: which are written when, which are taken over, and which were lost to another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from ...core.errors import OlderSnapshot
from ...core.events import Event
from ...core.request import Report
from ..concurrency import KeyedQueue
from ..sessions.session_info import SessionInfo
from ..sessions.sessions import Sessions
from ..text.label_sets import LabelSets
from .erasing import OwnerEraser
from .group_sync import GroupSync
from .handover import Handover
from .snapshots import Snapshot, Snapshots
from .stores.base import Store
from .stores.records import name_of
from .takeover import Takeover
from .write_behind import WriteBehind, is_due


class SessionPersistence:
    """Stores sessions, and takes over those that the store holds. Without a `store` it only takes snapshots.

    A session is written after `write_frames`; `address()` is this server's. Work on one session is done in order.
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
        self.store, self._write_frames, self._queue = store, write_frames, KeyedQueue()  # of work, by owner and id
        self.groups = self._writer = self.handover = self._takeover = None
        if store:
            self.groups, shared = GroupSync(store, self._registry, snapshots), (snapshots, self._registry)
            self._writer = writer = WriteBehind(store, *shared, self._queue, address)
            self.handover = Handover(store, snapshots.codec, self._registry, self._queue, writer, address)
            self._takeover = Takeover(store, *shared, writer, address, self.handover.ask)

    async def load(self, owner: str, id: str, *, opening: bool = False, named: bool = True, group: str = "") -> None:
        """Takes the session over from the store when the store has a later state than this server.

        The store is asked when the session is not open here, and when it has learnt nothing here since its last write,
        because it may have gone on elsewhere; always for an `opening` stream and for all but single frames. A state
        that cannot be read counts as none, with a warning in the log. Raises `NotReady` when the store does not answer,
        `MemoryFull` when there is no room, `NewerFormat` for what a newer version wrote.
        """
        if self.groups and group:
            await self.groups.load(owner, group)
        if self._takeover is None or not id:
            return
        if opening or (session := self._registry.get(owner, id)) is None or not is_due(session):
            await asyncio.shield(self._queue.submit((owner, id), partial(self._takeover.load, owner, id, named)))

    @asynccontextmanager
    async def use(self, owner: str, id: str, group: str = "") -> AsyncGenerator[None]:
        """`load`, and until the block's end no other server is given the session. Raises as `load`."""
        await (load := partial(self.load, owner, id, group=group))()
        async with self.handover.use((owner, id), load) if self.handover and id else nullcontext():
            yield

    async def snapshot(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. Raises `UnknownSession`, and as `load`."""
        await self.load(owner, id, opening=True)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes, id: str = "", roll_back: bool = True) -> SessionInfo:
        """Restores a snapshot; the server that has the session loses it. Raises as `load` and `Snapshots.restore`.

        Not to `roll_back` raises `OlderSnapshot` when the session, here or in the store, has gone on since.
        """
        check = None if roll_back else partial(self._refuse_older, owner)
        session = await self._snapshots.restore(owner, state, id, check)
        if self._writer is not None:
            session.stored.restoring = True
            await asyncio.shield(self._queue.submit((owner, session.id), partial(self._writer.overwrite, session)))
        return self._sessions.get(owner, session.id)

    async def _refuse_older(self, owner: str, header: Mapping[str, Any]) -> None:
        await self.load(owner, header["session"], opening=True)
        session, lessons = self._registry.get(owner, header["session"]), header.get("lessons", {}).get("last", 0)
        if session and (session.frames > header["frames"] or session.own_lessons.last > lessons):
            gone_on = f"the session has answered {session.frames} frames and the snapshot {header['frames']}"
            raise OlderSnapshot(f"{gone_on}: set roll_back to lose what it has learnt since", "state")

    def resume_token(self, owner: str, id: str) -> bytes:
        """A token that opens the session's stream again on any server with the store and secret; empty when closed."""
        if session := self._registry.get(owner, id):
            session.stored.resumable = not session.named
        return self._snapshots.tokens.issue(session) if session else b""

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
            return bool(self.groups and await self.groups.save(owner, group))
        session = self._registry.find(owner, id)
        group = session.group.id if session.group else ""
        stored_group = not group or (self.groups is not None and await self.groups.save(owner, group))
        changes, stored = session.lessons.changes, session.stored
        await self.save(owner, id)
        if stored.lost is not None:
            raise stored.lost
        return stored_group and stored.epoch > 0 and stored.lessons >= changes

    def check_room(self, owner: str, id: str = "", group: str = "", size: int = 0) -> None:
        """Raises `Overloaded` where the store has no room for a session of that `size`, or for what it refused."""
        if self.store and (room := self.store.room):
            tag, session = self._snapshots.codec.tag(owner), self._registry.get(owner, id) if id else None
            group = session.group.id if session and session.group else group
            refused = () if size else (name_of(owner, one) for one in (id, group))
            room.check(tag, room.growth(tag, name_of(owner, id), size), refused)

    def make_eraser(self, label_sets: LabelSets) -> OwnerEraser:
        """What deletes all of an owner, in the store too."""
        codec, adopt_owner = self._snapshots.codec, self._snapshots.adopt_owner
        return OwnerEraser(self._registry, label_sets, self.store, codec, self._settle, adopt_owner)

    async def _settle(self) -> None:
        await self._queue.join()
        await (self.groups.settle() if self.groups else asyncio.sleep(0))

    def drain(self) -> None:
        """From now on an answer waits until its session is written, for the next request goes to another server."""
        if self._writer:
            self._writer.draining = True

    async def before_reply(self, owner: str, id: str) -> None:
        """Writes the session of a unary answer before the answer is sent, while the server drains."""
        if self._writer and self._writer.draining:
            await self.save(owner, id)

    async def save_all(self, streams: bool = False, groups: bool = False) -> None:
        """Writes all sessions that have changed, with `streams` also those without a name that a stream has open.

        With `groups` also all lesson groups.
        """
        if self._writer is None:
            return
        for session in self._registry.open_sessions:
            if streams and session.lease_lost is not None:
                session.stored.resumable = not session.named
        for session in self._writer.unwritten:
            self._writer.schedule(session)
        self._writer.schedule_deletions()
        await self._queue.join()
        if self.groups and groups:
            await self.groups.sync_all()

    @property
    def is_behind(self) -> bool:
        """Whether the store failed, and a write or a deletion is to be tried again."""
        return bool((self._writer and self._writer.is_behind) or (self.groups and self.groups.is_behind))

    def report_unwritten(self) -> None:
        """Says what is lost when this server ends now."""
        if self._writer:
            self._writer.report_unwritten(self.groups.unwritten if self.groups else [])

    async def answer_others(self) -> None:
        """Lets sessions go that other servers ask for, until cancelled."""
        await (self.handover.run() if self.handover else asyncio.Event().wait())

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
