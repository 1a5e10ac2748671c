"""The state store's side of the sessions: who is written when, who is taken over, who has been lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..core.errors import (
    BadLabels,
    BadParameters,
    BadRequest,
    NotReady,
    SessionInUse,
    SessionMoved,
    UnknownReducer,
    UnknownStrategy,
)
from ..core.events import Event
from ..core.request import Report
from .in_order import InOrder
from .lanes import run
from .register import Reason
from .session import Session, SessionInfo
from .sessions import Sessions
from .snapshots import Snapshot, Snapshots
from .store import Store, Stored

T = TypeVar("T")
UNUSABLE = (BadRequest, BadLabels, BadParameters, UnknownStrategy, UnknownReducer, SessionInUse)  # of a stored state
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the store holds of a session that is open here."""

    epoch: int = 0  # 0: nothing
    frames: int = 0
    bytes: int = 0


class Archive:
    """Named sessions as they survive this server; without a `store` they do not, and nothing here costs anything.

    `lane` is where the store blocks, `often` after how many frames a session is written, `here()` this server's
    address. All that is done to one session's state is done in order.
    """

    def __init__(
        self,
        sessions: Sessions,
        snapshots: Snapshots,
        store: Store | None = None,
        lane: Executor | None = None,
        often: int = 50,
        here: Callable[[], str] = lambda: "",
    ) -> None:
        self._sessions, self._snapshots, self._store, self._lane = sessions, snapshots, store, lane
        self._often, self._here, self._draining = often, here, False
        self._marks: dict[Session, Mark] = {}
        self._promised: set[Session] = set()  # unnamed sessions that a resume token brings back
        self._queued: set[Session] = set()
        self._work = InOrder()  # by owner and id
        if store is not None:
            sessions.register.closing = self._closing

    async def recall(self, owner: str, id: str, *, opening: bool = False, named: bool = True) -> None:
        """The session goes on here if the store knows more of it than we do; `opening` a stream asks in any case.

        One that has learnt nothing here since its last write may have gone on elsewhere, and the store is asked. A
        state that cannot be read is as good as none, and said in the log. Raises `NotReady` when the store does not
        answer, `MemoryFull` when there is no room.
        """
        session = self._sessions.register.get(owner, id)
        if self._store is not None and id and (opening or session is None or not self._due(session)):
            await asyncio.shield(self._work.then((owner, id), partial(self._recalled, owner, id, named)))

    async def take(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. `UnknownSession`."""
        await self.recall(owner, id)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """Restores a snapshot; other servers lose the session to us. Raises as `Snapshots.restore`."""
        info = await self._snapshots.restore(owner, state)
        session = self._sessions.register.get(owner, info.id)
        if self._store is None or session is None:
            return info

        async def claimed() -> None:
            held = await self._blocking(self._store.claim, owner, info.id, self._here()) if self._store else None
            if held is not None:
                session.epoch = max(session.epoch, held.epoch)
                self._marks[session] = Mark(held.epoch, -1, -1)
            await self._write(session)

        await asyncio.shield(self._work.then((owner, info.id), claimed))
        return self._sessions.get(owner, info.id)

    def token(self, owner: str, id: str) -> bytes:
        """Opens the stream again, here or on a server with the same store and secret. Empty when it is gone."""
        session = self._sessions.register.get(owner, id)
        if session is None:
            return b""
        self._promise(session)
        return self._snapshots.token(session)

    def resumed(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The session's id, and whether the client gave it that name. `BadRequest`."""
        return self._snapshots.resumed(owner, token)

    async def keep(self, owner: str, id: str) -> None:
        """Returns when the store has all of a session that it is to keep."""
        session = self._sessions.register.get(owner, id)
        if session is not None and self._due(session):
            await asyncio.shield(self._written(session))

    def drain(self) -> None:
        """From now on each answer's session is written before the answer leaves: the next question goes elsewhere."""
        self._draining = True

    async def answered(self, owner: str, id: str) -> None:
        """Called before a unary answer leaves."""
        if self._draining and id:
            await self.keep(owner, id)

    async def keep_all(self, streams: bool = False) -> None:
        """The same for all sessions; `streams`: also for the nameless ones that a stream has open."""
        for session in self._sessions.register.open:
            if streams and session.lost is not None:
                self._promise(session)
            if self._due(session):
                self._written(session)
        await self._work.done()

    async def run(self, every: float = 5.0) -> None:
        """Writes what has changed, for ever."""
        while True:
            await asyncio.sleep(every)
            await self.keep_all()

    def saw(self, event: Event) -> None:
        """Hears of every frame, and writes its session after every so many."""
        if self._store is None or not isinstance(event, Report):
            return
        session = self._sessions.register.get(event.request.owner, event.session.id)
        if session is not None and session.frames - self._mark(session).frames >= self._often and self._due(session):
            self._written(session)

    def _promise(self, session: Session) -> None:
        if self._store is not None and not session.named:
            self._promised.add(session)

    def _mark(self, session: Session) -> Mark:
        return self._marks.get(session, Mark())

    def _due(self, session: Session) -> bool:
        mark = self._mark(session)
        changed = (session.frames, session.bytes) != (mark.frames, mark.bytes)
        return self._store is not None and changed and (session.named or session in self._promised)

    def _written(self, session: Session) -> asyncio.Task[None]:
        if session not in self._queued:
            self._queued.add(session)
            return self._work.then((session.owner, session.id), partial(self._write, session))
        return self._work.last((session.owner, session.id))

    async def _write(self, session: Session) -> None:
        """The loser of a session learns it here: our copy is dropped, and its stream ends with where it moved."""
        assert self._store
        self._queued.discard(session)
        mark, now = self._mark(session), (session.frames, session.bytes)
        if now == (mark.frames, mark.bytes):
            return
        snapshot = await self._snapshots.of(session)
        stored = Stored(snapshot.epoch, self._here(), snapshot.state)
        try:
            await self._blocking(self._store.write, session.owner, session.id, stored, mark.epoch)
        except SessionMoved as moved:
            log.warning("session %s: %s", session.id, moved.message)
            self._marks.pop(session, None)
            return self._sessions.register.close(session, "moved", moved)
        except NotReady as error:
            return log.warning("session %s was not written: %s", session.id, error.message)
        self._marks[session] = Mark(snapshot.epoch, *now)

    async def _recalled(self, owner: str, id: str, named: bool) -> None:
        assert self._store
        register, session = self._sessions.register, self._sessions.register.get(owner, id)
        if session is not None:
            try:
                if await self._blocking(self._store.epoch, owner, id) <= self._mark(session).epoch:
                    return
            except NotReady as error:
                return log.warning("session %s goes on unasked: %s", id, error.message)
            register.close(session, "moved", SessionMoved("another server has had the session since", "session_id"))
        held = await self._blocking(self._store.claim, owner, id, self._here())
        if held is None:
            return
        try:
            session = await self._snapshots.reinstate(owner, id, held.state, held.epoch, named)
        except UNUSABLE as error:
            log.warning("session %s begins anew, its stored state cannot be used: %s", id, error.message)
            session = register.obtain(owner, id, named)
            session.epoch = held.epoch
        self._marks[session] = Mark(held.epoch, session.frames, session.bytes)

    def _closing(self, session: Session, reason: Reason) -> None:
        """Who gives way or stops goes on elsewhere; who has ended is forgotten."""
        outlives = (session.named and reason in ("capacity", "bytes", "shutdown")) or session in self._promised
        key = (session.owner, session.id)
        if reason == "moved" or (not outlives and session not in self._marks and key not in self._work):
            return self._part_with(session)
        if not outlives:
            self._work.then(key, partial(self._forget, session))
        elif self._due(session):
            self._written(session).add_done_callback(lambda _: self._part_with(session))
        else:
            self._part_with(session)

    async def _forget(self, session: Session) -> None:
        assert self._store
        try:
            if epoch := self._mark(session).epoch:
                await self._blocking(self._store.forget, session.owner, session.id, epoch)
        finally:
            self._part_with(session)

    def _part_with(self, session: Session) -> None:
        self._marks.pop(session, None)
        self._promised.discard(session)
        self._queued.discard(session)

    async def _blocking(self, call: Callable[..., T], *given: Any) -> T:
        assert self._lane
        try:
            return await run(self._lane, partial(call, *given))
        except OSError as error:
            raise NotReady(str(error)) from error
