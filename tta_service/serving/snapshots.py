"""A session that survives its server: all its memories, copied in their turn and put back elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..core.catalogue import reducers, strategies
from ..core.errors import BadRequest, SessionInUse
from ..core.labels import LabelSet, TextSpace
from ..core.memory import filled, moved, nbytes, tensors
from ..core.reducer import Reduction
from ..core.strategy import Strategy
from .lanes import Lanes, run
from .memories import Kept, Key
from .seal import Seal
from .session import Session, SessionInfo
from .sessions import Sessions
from .text_spaces import TextSpaces
from .turns import Turn


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a client keeps."""

    session: str
    epoch: int
    state: bytes  # sealed


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """One memory at the end of a frame."""

    key: Key
    labels: LabelSet
    memory: Any
    seen: tuple[int, int]  # what the session had seen by then: frames, id of the last one


class Snapshots:
    """Takes and restores. `fingerprint` is the model's: features of another one mean nothing to a memory."""

    def __init__(
        self, sessions: Sessions, text_spaces: TextSpaces, lanes: Lanes, fingerprint: str, secret: bytes = b""
    ) -> None:
        self._sessions, self._text_spaces, self._lanes = sessions, text_spaces, lanes
        self._fingerprint, self._seal = fingerprint, Seal(secret)

    async def take(self, owner: str, id: str) -> Snapshot:
        """All memories of the session, each behind the frames that came before. `UnknownSession`."""
        return await self.of(self._sessions.register.find(owner, id))

    async def of(self, session: Session) -> Snapshot:
        """The same of a session that is at hand, even of one that has just been closed."""
        register = self._sessions.register
        turns = [(kept, kept.turn(register.busy(session, used=False))) for kept in list(session.memories.values())]
        try:
            copies = await asyncio.gather(*(self._copy(session, kept, turn) for kept, turn in turns))
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
            "memories": [_said(copy) for copy in held],
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

    def token(self, session: Session) -> bytes:
        """Says which session a stream held, so that it may be opened again."""
        said = {"resume": session.id, "owner": session.owner, "named": session.named}
        return self._seal.close(said, {})

    def resumed(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The id inside a `token`, and whether the session has a name of its own. `BadRequest`."""
        try:
            said, _ = self._seal.open(token)
        except BadRequest:
            raise BadRequest("this token was not made here, or was changed on its way", "resume_token") from None
        if "resume" not in said or said["owner"] != owner:
            raise BadRequest("this token resumes no stream of yours", "resume_token")
        return said["resume"], said["named"]

    async def _opened(self, owner: str, state: bytes) -> tuple[dict[str, Any], list[Copy]]:
        said, values = await run(self._lanes.prepare, self._seal.open, state)
        if said.get("owner") != owner or "session" not in said:
            raise BadRequest("this snapshot is another owner's", "state")
        if said["fingerprint"] != self._fingerprint:
            raise BadRequest("this snapshot was made with another model", "state")
        return said, [await self._rebuilt(i, each, values, said) for i, each in enumerate(said["memories"])]

    async def _copy(self, session: Session, kept: Kept, turn: Turn) -> Copy | None:
        await turn.comes()
        if not kept.begun:
            turn.leave()
            return None
        copy, seen = await turn.adapt(self._lanes.adapt, _copied, lambda: (session.frames, session.last_frame_id))
        return Copy(kept.key, kept.labels, copy, seen)

    async def _rebuilt(
        self, place: int, each: Mapping[str, Any], values: Mapping[str, Tensor], said: Mapping[str, Any]
    ) -> Copy:
        strategy = strategies.build(*each["strategy"])
        labels = LabelSet(tuple(each["labels"][0]), tuple(each["labels"][1]))
        reduction = None
        if each["reduction"] is not None:
            name, parameters, scope = each["reduction"]
            reduction = Reduction(reducers.build(name, parameters), scope)
        text = await self._text_spaces.get(labels)
        mine = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{place}.")}
        lane = self._lanes.tune if strategy.needs().gradient else self._lanes.adapt
        memory = await run(lane, _filled, strategy, text, mine)
        return Copy(Key(strategy, labels.id, reduction), labels, memory, (said["frames"], said["last_frame_id"]))

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
                session.kept(copy.key, copy.labels).keep(copy.memory, nbytes(copy.memory))
        except Exception:
            register.close(session, "capacity")
            raise
        finally:
            session.busy -= 1  # and it does not end before anybody has come
        return session


def _said(copy: Copy) -> dict[str, Any]:
    strategy, reduction = copy.key.strategy, copy.key.reduction
    return {
        "strategy": [strategy.name, _parameters(strategy)],
        "labels": [copy.labels.names, copy.labels.templates],
        "reduction": reduction and [reduction.reducer.name, _parameters(reduction.reducer), reduction.scope],
    }


def _parameters(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _copied(memory: Any) -> Generator[Any, None, Any]:
    yield moved(memory, Tensor.clone)
    return memory


def _filled(strategy: Strategy[Any], text: TextSpace, values: Mapping[str, Tensor]) -> Any:
    with torch.no_grad():
        try:
            return filled(strategy.begin(text), values)
        except ValueError as error:
            raise BadRequest(f"the memory of {strategy.name} in this snapshot {error}", "state") from None
