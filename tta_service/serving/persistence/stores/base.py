"""The interface of state stores: encrypted states by owner and session id, each with an epoch."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ....core.errors import SessionMoved
from ..signing import FORMAT, check_format, format_of, has_lessons


@dataclass(frozen=True, slots=True)
class Stored:
    """The record of one session in a store."""

    epoch: int  # grows by one whenever a server takes the session over
    holder: str  # the address of the server that took it over last
    state: bytes  # encrypted and signed


OWNED = "owned-"  # no hexadecimal digit: records without an owner are found by their names
UNOWNED = "[0-9a-f]*"
Change = Callable[[Stored | None], Stored | None]  # the stored record -> the new one; None: there is none


class Store(ABC):
    """Sessions by owner and id, and records of lesson groups by name. Every change is one atomic step.

    The methods raise `NotReady` when the store cannot be reached.

    What a newer version wrote is left as it is: every method raises `NewerFormat` for it.
    """

    async def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        """Takes the session over: the stored record, now one epoch later. None when there is none."""

        def take(stored: Stored | None) -> Stored | None:
            return stored and replace(stored, epoch=stored.epoch + 1, holder=holder)

        return await self._change(name_of(owner, session), take)

    async def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        """Compare-and-set: raises `SessionMoved` when the stored epoch is not `after` (0: there should be no record).

        A record that was deleted is written again.
        """

        def replace_older(older: Stored | None) -> Stored:
            if older is not None and older.epoch != after:
                raise SessionMoved(f"the session has moved to {older.holder or 'another server'}", "session_id")
            return stored

        await self._change(name_of(owner, session), replace_older)

    async def epoch(self, owner: str, session: str) -> int:
        """The stored epoch; 0 when there is no record."""
        stored = await self._change(name_of(owner, session), lambda stored: stored)
        return stored.epoch if stored else 0

    async def forget(self, owner: str, session: str, epoch: int) -> None:
        """Deletes the record unless its epoch is later."""
        await self._change(name_of(owner, session), lambda stored: stored if stored and stored.epoch > epoch else None)

    @abstractmethod
    async def _change(self, name: str, change: Change) -> Stored | None:
        """Replaces the record of that name by `change(record)`, unless that is the same one. Returns the new record."""

    @abstractmethod
    async def has_unowned(self) -> bool:
        """Whether there are records without an owner, from before callers were asked who they are."""

    @abstractmethod
    async def names(self, group: str) -> set[str]:
        """The names of the records of a lesson group, which the store keeps for longer now that somebody asks."""

    @abstractmethod
    async def read(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        """Records by name; those that are gone are left out."""

    @abstractmethod
    async def put(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> None:
        """Adds records, and deletes those of the names `gone`. Others that are added meanwhile stay."""

    @abstractmethod
    async def close(self) -> None:
        """Frees threads and connections."""


def name_of(owner: str, session: str) -> str:
    """A name for files and keys, of safe characters. That of an owner begins with `OWNED`."""
    return OWNED * bool(owner) + hashlib.sha256(json.dumps([owner, session]).encode()).hexdigest()


def lifetime(state: bytes, keep: float, keep_taught: float) -> float:
    """Seconds that a state is kept after its last write: one with lessons at least `keep_taught`, others `keep`."""
    return max(keep, keep_taught) if has_lessons(state) else keep


def check_formats(record: object, state: bytes) -> None:
    """Raises `NewerFormat` when the record, by its number, or the state in it is a newer version's."""
    check_format(record, newest=FORMAT)
    check_format(format_of(state))
