"""A session that survives its server: all its memories, copied in their turn and put back elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import BadRequest, SessionInUse
from ...core.memory import nbytes, tensors
from ..concurrency.executors import Lanes, run
from ..sessions.session import Session, SessionInfo
from ..sessions.sessions import Sessions
from ..text.cache import TextSpaces
from .memory_codec import Copy, copied, described, rebuilt
from .resume_tokens import Tokens
from .signing import Seal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a client keeps."""

    session: str
    epoch: int
    state: bytes  # sealed


class Snapshots:
    """Takes and restores. `fingerprint` is the model's: features of another one mean nothing to a memory."""

    def __init__(
        self, sessions: Sessions, text_spaces: TextSpaces, lanes: Lanes, fingerprint: str, secret: bytes = b""
    ) -> None:
        self._sessions, self._text_spaces, self._lanes = sessions, text_spaces, lanes
        self._fingerprint, self._seal = fingerprint, Seal(secret)
        self.tokens = Tokens(self._seal)

    async def take(self, owner: str, id: str) -> Snapshot:
        """All memories of the session, each behind the frames that came before. `UnknownSession`."""
        return await self.of(self._sessions.register.find(owner, id))

    async def of(self, session: Session) -> Snapshot:
        """The same of a session that is at hand, even of one that has just been closed."""
        register = self._sessions.register
        queues = list(session.memories.values())
        turns = [(queue.kept, queue.turn(register.busy(session, used=False))) for queue in queues]
        try:
            copies = await asyncio.gather(*(copied(session, kept, turn, self._lanes) for kept, turn in turns))
        finally:
            for _, turn in turns:
                turn.leave()
        held = [copy for copy in copies if copy is not None]
        frames, last = min((copy.seen for copy in held), default=(session.frames, session.last_frame_id))
        said = {
            "fingerprint": self._fingerprint,
            "owner": session.owner,
            "session": session.id,
            "epoch": (epoch := session.epoch),
            "frames": frames,
            "last_frame_id": last,
            "memories": [described(copy) for copy in held],
        }
        named = {f"{i}.{name}": value for i, copy in enumerate(held) for name, value in tensors(copy.memory).items()}
        return Snapshot(session.id, epoch, await run(self._lanes.prepare, self._seal.close, said, named))

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """The session goes on here, one epoch later; one of the same id that rests is replaced.

        Raises `BadRequest` when the state was changed, belongs to another owner or model, or does not fit this
        version's memories; `SessionInUse`; `MemoryFull` when there is no room.
        """
        said, copies = await self._opened(owner, state)
        self._install(owner, said, copies, said["epoch"] + 1, named=True)
        return self._sessions.get(owner, said["session"])

    async def reinstate(self, owner: str, id: str, state: bytes, epoch: int, named: bool) -> Session:
        """The same for what a store held under that id, at the epoch that it was taken over with."""
        said, copies = await self._opened(owner, state)
        if said["session"] != id:
            raise BadRequest("this snapshot is of another session", "state")
        return self._install(owner, said, copies, epoch, named)

    async def _opened(self, owner: str, state: bytes) -> tuple[dict[str, Any], list[Copy]]:
        said, values = await run(self._lanes.prepare, self._seal.open, state)
        if said.get("owner") != owner or "session" not in said:
            raise BadRequest("this snapshot is another owner's", "state")
        if said["fingerprint"] != self._fingerprint:
            raise BadRequest("this snapshot was made with another model", "state")
        seen, copies = (said["frames"], said["last_frame_id"]), list[Copy]()
        for place, told in enumerate(said["memories"]):
            mine = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{place}.")}
            copies.append(await rebuilt(told, mine, seen, self._text_spaces, self._lanes))
        return said, copies

    def _install(self, owner: str, said: Mapping[str, Any], copies: list[Copy], epoch: int, named: bool) -> Session:
        register, id = self._sessions.register, str(said["session"])
        older = register.get(owner, id)
        if older is not None:
            if not older.resting:
                raise SessionInUse(f"session {id!r} is in use; it is replaced only while it rests", "session_id")
            register.close(older, "client")
        session = register.obtain(owner, id, named)
        session.busy += 1  # nobody makes room at its cost
        try:
            session.restore(epoch, said["frames"], said["last_frame_id"])
            for copy in copies:
                register.admit(session, nbytes(copy.memory))
                session.queue(copy.key, copy.labels).kept.keep(copy.memory, nbytes(copy.memory))
        except Exception:
            register.close(session, "capacity")
            raise
        finally:
            session.busy -= 1  # and it does not end before anybody has come
        return session
