"""A session that survives its server: all its memories, copied in their turn and put back elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import BadRequest, SessionInUse
from ...core.memory import nbytes, tensors
from ..concurrency.executors import Executors, run
from ..sessions.session import Session, SessionInfo
from ..sessions.sessions import Sessions
from ..text.cache import TextSpaceCache
from .memory_codec import MemoryImage, copy_memory, decode, encode
from .resume_tokens import ResumeTokens
from .signing import SignedCodec


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a client keeps."""

    session: str
    epoch: int
    state: bytes  # sealed


class Snapshots:
    """Takes and restores. `fingerprint` is the model's: features of another one mean nothing to a memory."""

    def __init__(
        self, sessions: Sessions, text_spaces: TextSpaceCache, lanes: Executors, fingerprint: str, secret: bytes = b""
    ) -> None:
        self._sessions, self._text_spaces, self._lanes = sessions, text_spaces, lanes
        self._fingerprint, self._codec = fingerprint, SignedCodec(secret)
        self.tokens = ResumeTokens(self._codec)

    async def take(self, owner: str, id: str) -> Snapshot:
        """All memories of the session, each behind the frames that came before. `UnknownSession`."""
        return await self.make(self._sessions.registry.find(owner, id))

    async def make(self, session: Session) -> Snapshot:
        """The same of a session that is at hand, even of one that has just been closed."""
        registry = self._sessions.registry
        queues = list(session.memories.values())
        turns = [(queue.slot, queue.turn(registry.hold(session, used=False))) for queue in queues]
        try:
            copies = await asyncio.gather(*(copy_memory(session, slot, turn, self._lanes) for slot, turn in turns))
        finally:
            for _, turn in turns:
                turn.leave()
        images = [copy for copy in copies if copy is not None]
        frames, last = min((copy.progress for copy in images), default=(session.frames, session.last_frame_id))
        header = {
            "fingerprint": self._fingerprint,
            "owner": session.owner,
            "session": session.id,
            "epoch": (epoch := session.epoch),
            "frames": frames,
            "last_frame_id": last,
            "memories": [encode(copy) for copy in images],
        }
        values = {f"{i}.{name}": value for i, copy in enumerate(images) for name, value in tensors(copy.memory).items()}
        return Snapshot(session.id, epoch, await run(self._lanes.prepare, self._codec.dumps, header, values))

    async def restore(self, owner: str, state: bytes) -> SessionInfo:
        """The session goes on here, one epoch later; one of the same id that rests is replaced.

        Raises `BadRequest` when the state was changed, belongs to another owner or model, or does not fit this
        version's memories; `SessionInUse`; `MemoryFull` when there is no room.
        """
        header, copies = await self._decode(owner, state)
        self._install(owner, header, copies, header["epoch"] + 1, named=True)
        return self._sessions.get(owner, header["session"])

    async def reinstate(self, owner: str, id: str, state: bytes, epoch: int, named: bool) -> Session:
        """The same for what a store held under that id, at the epoch that it was taken over with."""
        header, copies = await self._decode(owner, state)
        if header["session"] != id:
            raise BadRequest("this snapshot is of another session", "state")
        return self._install(owner, header, copies, epoch, named)

    async def _decode(self, owner: str, state: bytes) -> tuple[dict[str, Any], list[MemoryImage]]:
        header, values = await run(self._lanes.prepare, self._codec.loads, state)
        if header.get("owner") != owner or "session" not in header:
            raise BadRequest("this snapshot is another owner's", "state")
        if header["fingerprint"] != self._fingerprint:
            raise BadRequest("this snapshot was made with another model", "state")
        progress, copies = (header["frames"], header["last_frame_id"]), list[MemoryImage]()
        for place, described in enumerate(header["memories"]):
            mine = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{place}.")}
            copies.append(await decode(described, mine, progress, self._text_spaces, self._lanes))
        return header, copies

    def _install(
        self, owner: str, header: Mapping[str, Any], copies: list[MemoryImage], epoch: int, named: bool
    ) -> Session:
        registry, id = self._sessions.registry, str(header["session"])
        older = registry.get(owner, id)
        if older is not None:
            if not older.evictable:
                raise SessionInUse(f"session {id!r} is in use; it is replaced only while it rests", "session_id")
            registry.close(older, "client")
        session = registry.obtain(owner, id, named)
        session.holds += 1  # nobody makes room at its cost
        try:
            session.restore(epoch, header["frames"], header["last_frame_id"])
            for copy in copies:
                registry.admit(session, nbytes(copy.memory))
                session.queue(copy.key, copy.labels).slot.store(copy.memory, nbytes(copy.memory))
        except Exception:
            registry.close(session, "capacity")
            raise
        finally:
            session.holds -= 1  # and it does not end before anybody has come
        return session
