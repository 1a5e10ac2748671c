"""One session: an owner's name for the memories that its frames share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ...core.errors import TTAError
from ...core.labels import LabelSet
from ...core.request import SessionStatus
from .accounting import MemoryAccounting
from .memory import MemoryKey, MemorySlot
from .turn_queue import TurnQueue


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What the owner is told about a session. Times in seconds."""

    id: str
    frames: int
    memory_bytes: int
    strategies: tuple[str, ...]  # that keep a memory here, sorted
    age: float
    idle: float  # since the last frame was done; 0 while one is under way
    epoch: int
    last_frame_id: int


@dataclass(slots=True, eq=False)
class Session:
    """What is known of a session between two requests."""

    owner: str
    id: str
    named: bool  # False: it ends with the call or stream that it was made for
    created: float
    last_used: float
    accounting: MemoryAccounting
    frames: int = 0
    last_frame_id: int = 0
    epoch: int = 1
    restored: bool = False  # the next answer says so
    holds: int = 0  # requests and turns under way
    lease_lost: asyncio.Future[TTAError] | None = None  # of the open stream: why it has lost the session
    closed: bool = False
    memories: dict[MemoryKey, TurnQueue] = field(default_factory=dict[MemoryKey, TurnQueue])

    @property
    def evictable(self) -> bool:
        """Nothing is under way and no stream is open: it may be evicted."""
        return not self.holds and self.lease_lost is None

    @property
    def bytes(self) -> int:
        return sum(queue.slot.bytes for queue in self.memories.values())

    def queue(self, key: MemoryKey, labels: LabelSet) -> TurnQueue:
        """The memory of that key with its turns, made on first use."""
        if key not in self.memories:
            self.memories[key] = TurnQueue(MemorySlot(key, labels, self._on_resize(key.strategy.name)))
        return self.memories[key]

    def restore(self, epoch: int, frames: int, last_frame_id: int) -> None:
        """It goes on where another server left it; the next answer says so."""
        self.epoch, self.frames, self.last_frame_id, self.restored = epoch, frames, last_frame_id, True

    def drop_empty(self) -> None:
        """Leaves out what nobody waits for and nothing was kept in."""
        self.memories = {key: queue for key, queue in self.memories.items() if not queue.empty}

    def end(self, error: TTAError) -> None:
        """Gives all bytes back; an open stream learns why. Frames in a lane end as usual, unseen by the ledger."""
        for slot in self._slots():
            self.accounting.change(self.owner, slot.key.strategy.name, -slot.bytes)
        self.closed = True
        self.revoke_lease(error)

    def revoke_lease(self, error: TTAError) -> None:
        """The open stream, if there is one, has lost the session."""
        if self.lease_lost is not None and not self.lease_lost.done():
            self.lease_lost.set_result(error)
        self.lease_lost = None

    def status(self) -> SessionStatus:
        """As it stands between two frames."""
        origin = "restored" if self.restored else "continued" if self.frames else "fresh"
        return SessionStatus(self.id, origin, self.frames, self.bytes, False, self.last_frame_id)

    def count_frame(self, frame_id: int | None, anew: bool = False) -> SessionStatus:
        """Counts one more frame; what its answer says. `anew`: the strategy's memory began anew with it."""
        before = self.status()
        self.restored = False
        self.frames += 1
        self.last_frame_id = self.last_frame_id if frame_id is None else frame_id
        return SessionStatus(self.id, before.origin, self.frames, self.bytes, anew, self.last_frame_id)

    def describe(self, now: float) -> SessionInfo:
        strategies = {kept.key.strategy.name for kept in self._slots() if kept.begun}
        idle = 0.0 if self.holds else now - self.last_used
        age = now - self.created
        return SessionInfo(
            self.id, self.frames, self.bytes, tuple(sorted(strategies)), age, idle, self.epoch, self.last_frame_id
        )

    def _slots(self) -> list[MemorySlot]:
        return [queue.slot for queue in self.memories.values()]

    def _on_resize(self, strategy: str) -> Callable[[int], None]:
        def resized(by: int) -> None:
            if not self.closed:
                self.accounting.change(self.owner, strategy, by)

        return resized
