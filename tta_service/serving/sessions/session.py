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
    """A session as its owner sees it. Times in seconds."""

    id: str
    frames: int
    memory_bytes: int
    strategies: tuple[str, ...]  # that have a memory here, sorted
    age: float
    idle: float  # since the last frame was done; 0 while one is in progress
    epoch: int
    last_frame_id: int


@dataclass(slots=True, eq=False)
class Session:
    """The state of a session between two requests."""

    owner: str
    id: str
    named: bool  # by the client; else it ends with the call or stream that it was made for
    created: float
    last_used: float
    accounting: MemoryAccounting
    frames: int = 0
    last_frame_id: int = 0
    epoch: int = 1
    restored: bool = False  # the next answer says so
    holds: int = 0  # requests and turns in progress
    lease_lost: asyncio.Future[TTAError] | None = None  # the open stream waits here for the loss of the session
    closed: bool = False
    memories: dict[MemoryKey, TurnQueue] = field(default_factory=dict[MemoryKey, TurnQueue])

    @property
    def evictable(self) -> bool:
        """Nothing is in progress and no stream is open."""
        return not self.holds and self.lease_lost is None

    @property
    def bytes(self) -> int:
        """The size of all its memories."""
        return sum(queue.slot.bytes for queue in self.memories.values())

    def queue(self, key: MemoryKey, labels: LabelSet) -> TurnQueue:
        """The memory of that key with its queue of turns, made on first use."""
        if key not in self.memories:
            self.memories[key] = TurnQueue(MemorySlot(key, labels, self._on_resize(key.strategy.name)))
        return self.memories[key]

    def restore(self, epoch: int, frames: int, last_frame_id: int) -> None:
        """Goes on from the state of another server; the next answer has the origin "restored"."""
        self.epoch, self.frames, self.last_frame_id, self.restored = epoch, frames, last_frame_id, True

    def drop_empty(self) -> None:
        """Drops the queues that hold no memory and no turn."""
        self.memories = {key: queue for key, queue in self.memories.items() if not queue.empty}

    def end(self, error: TTAError) -> None:
        """Gives all bytes back and sends `error` to an open stream. Frames in a lane end as usual, uncounted."""
        for slot in self._slots():
            self.accounting.change(self.owner, slot.key.strategy.name, -slot.bytes)
        self.closed = True
        self.revoke_lease(error)

    def revoke_lease(self, error: TTAError) -> None:
        """Takes the session from the open stream, if there is one."""
        if self.lease_lost is not None and not self.lease_lost.done():
            self.lease_lost.set_result(error)
        self.lease_lost = None

    def status(self) -> SessionStatus:
        """The status between two frames."""
        origin = "restored" if self.restored else "continued" if self.frames else "fresh"
        return SessionStatus(self.id, origin, self.frames, self.bytes, False, self.last_frame_id)

    def count_frame(self, frame_id: int | None, anew: bool = False) -> SessionStatus:
        """Counts one more frame; the status for its answer. `anew`: the strategy's memory began with it."""
        before = self.status()
        self.restored = False
        self.frames += 1
        self.last_frame_id = self.last_frame_id if frame_id is None else frame_id
        return SessionStatus(self.id, before.origin, self.frames, self.bytes, anew, self.last_frame_id)

    def describe(self, now: float) -> SessionInfo:
        """The session as its owner sees it at the time `now`."""
        strategies = {slot.key.strategy.name for slot in self._slots() if slot.begun}
        idle = 0.0 if self.holds else now - self.last_used
        age = now - self.created
        return SessionInfo(
            self.id, self.frames, self.bytes, tuple(sorted(strategies)), age, idle, self.epoch, self.last_frame_id
        )

    def _slots(self) -> list[MemorySlot]:
        return [queue.slot for queue in self.memories.values()]

    def _on_resize(self, strategy: str) -> Callable[[int], None]:
        def on_resize(by: int) -> None:
            if not self.closed:
                self.accounting.change(self.owner, strategy, by)

        return on_resize
