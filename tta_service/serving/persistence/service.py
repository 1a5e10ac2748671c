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
    NotReady,
    SessionInUse,
    SessionMoved,
    UnknownReducer,
    UnknownStrategy,
)
from ...core.events import Event
from ...core.request import Report
from ..concurrency.keyed_queue import InOrder
from ..sessions.registry import Reason
from ..sessions.session import Session, SessionInfo
from ..sessions.sessions import Sessions
from .snapshots import Snapshot, Snapshots
from .stores.base import Store
from .stores.in_thread import AsyncStore
from .versions import Mark, Marks
from .write_behind import Writer

UNUSABLE = (BadRequest, BadLabels, BadParameters, UnknownStrategy, UnknownReducer, SessionInUse)  # of a stored state
log = logging.getLogger(__name__)


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
        self._store = AsyncStore(store, lane) if store is not None and lane is not None else None
        self._sessions, self._snapshots, self._often, self._here = sessions, snapshots, often, here
        self._marks, self._work = Marks(), InOrder()  # by owner and id
        self._writer = Writer(self._store, snapshots, sessions.register, self._marks, self._work, here)
        self._restored: set[Session] = set()  # whose claim waits for what is under way with their id
        self._draining = False
        if self._store is not None:
            sessions.register.closing = self._closing

    async def recall(self, owner: str, id: str, *, opening: bool = False, named: bool = True) -> None:
        """The session goes on here if the store knows more of it than we do; `opening` a stream asks in any case.

        One that has learnt nothing here since its last write may have gone on elsewhere, and the store is asked. A
        state that cannot be read is as good as none, and said in the log. Raises `NotReady` when the store does not
        answer, `MemoryFull` when there is no room.
        """
        session = self._sessions.register.get(owner, id)
        store = self._store
        if store is not None and id and (opening or session is None or not self._marks.due(session)):
            await asyncio.shield(self._work.then((owner, id), partial(self._recalled, store, owner, id, named)))

    async def take(self, owner: str, id: str) -> Snapshot:
        """A snapshot of a session that is open here or in the store. `UnknownSession`."""
        await self.recall(owner, id)
        return await self._snapshots.take(owner, id)

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """Restores a snapshot; other servers lose the session to us. Raises as `Snapshots.restore`."""
        info = await self._snapshots.restore(owner, state)
        store, session = self._store, self._sessions.register.get(owner, info.id)
        if store is None or session is None:
            return info

        async def claimed() -> None:
            try:
                if (held := await store.claim(owner, info.id, self._here())) is not None:
                    session.epoch = max(session.epoch, held.epoch)
                    self._marks.note(session, Mark(held.epoch, -1, -1))
                await self._writer.write(session)
            finally:
                self._restored.discard(session)

        self._restored.add(session)
        await asyncio.shield(self._work.then((owner, info.id), claimed))
        return self._sessions.get(owner, info.id)

    def token(self, owner: str, id: str) -> bytes:
        """Opens the stream again, here or on a server with the same store and secret. Empty when it is gone."""
        session = self._sessions.register.get(owner, id)
        if session is None:
            return b""
        if self._store is not None:
            self._marks.promise(session)
        return self._snapshots.tokens.of(session)

    def resumed(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The session's id, and whether the client gave it that name. `BadRequest`."""
        return self._snapshots.tokens.resumed(owner, token)

    async def keep(self, owner: str, id: str) -> None:
        """Returns when the store has all of a session that it is to keep."""
        session = self._sessions.register.get(owner, id)
        if session is not None and (writing := self._writer.begin(session)):
            await asyncio.shield(writing)

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
            if self._store is not None and streams and session.lost is not None:
                self._marks.promise(session)
            self._writer.begin(session)
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
        if session is not None and session.frames - self._marks.of(session).frames >= self._often:
            self._writer.begin(session)

    async def _recalled(self, store: AsyncStore, owner: str, id: str, named: bool) -> None:
        register, session = self._sessions.register, self._sessions.register.get(owner, id)
        if session in self._restored:  # the store's is older, and nobody else's
            return
        if session is not None:
            try:
                if await store.epoch(owner, id) <= self._marks.of(session).epoch:
                    return
            except NotReady as error:
                return log.warning("session %s goes on unasked: %s", id, error.message)
            register.close(session, "moved", SessionMoved("another server has had the session since", "session_id"))
        held = await store.claim(owner, id, self._here())
        if held is None:
            return
        try:
            session = await self._snapshots.reinstate(owner, id, held.state, held.epoch, named)
        except UNUSABLE as error:
            log.warning("session %s begins anew, its stored state cannot be used: %s", id, error.message)
            session = register.obtain(owner, id, named)
            session.epoch = held.epoch
        self._marks.note(session, Mark(held.epoch, session.frames, session.bytes))

    def _closing(self, session: Session, reason: Reason) -> None:
        """Who gives way or stops goes on elsewhere; who has ended is forgotten."""
        outlives = (session.named and reason in ("capacity", "bytes", "shutdown")) or self._marks.promised(session)
        key = (session.owner, session.id)
        if reason == "moved" or (not outlives and session not in self._marks and key not in self._work):
            return self._part_with(session)
        if not outlives:
            self._work.then(key, partial(self._forget, session))
        elif writing := self._writer.begin(session):
            writing.add_done_callback(lambda _: self._part_with(session))
        else:
            self._part_with(session)

    async def _forget(self, session: Session) -> None:
        try:
            if self._store is not None and (epoch := self._marks.of(session).epoch):
                await self._store.forget(session.owner, session.id, epoch)
        finally:
            self._part_with(session)

    def _part_with(self, session: Session) -> None:
        self._marks.part_with(session)
        self._writer.part_with(session)
