"""The interface of state stores: encrypted states by owner and session id, each with an epoch."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ....core.errors import NewerFormat, NotReady, SessionMoved
from ..encryption import MAC
from .records import Stored, name_of
from .signed_records import SOON, SignedRecords
from .stored_bytes import StoredBytes


class OutOfRoom(Exception):
    """The owner of a record has used up what it may have in the store."""


class Store(SignedRecords):
    """Sessions by owner and id, and records of lesson groups by name. Every change is one atomic step.

    The methods raise `NotReady` when the store cannot be reached, and as soon as one has found out, all do at once.

    What a newer version wrote is left as it is: every method raises `NewerFormat` for it. A damaged record is moved
    aside, counted, and as good as none.
    """

    room: StoredBytes | None = None  # for owners' records; None: they have no quota

    async def run(self, every: float = 300.0) -> None:
        """Sweeps every so many seconds until cancelled."""
        with suppress(NotReady):
            await self.count()
        while True:
            await asyncio.sleep(every)
            with suppress(NotReady):
                await self.sweep()
                if self.counters:
                    await self.counters.store.sweep()

    async def count(self) -> None:
        """Counts the sessions that are there for their owners' quota, if there is one."""
        for name in await self._session_names() if self.room else ():
            with suppress(NewerFormat):
                self._counted(name, await self.change(name, lambda stored: stored))

    def _counted(self, name: str, stored: Stored | None) -> Stored | None:
        if self.room:
            self.room.put(name, {"": stored.state if stored else b""})
        return stored

    async def set_aside(self, owner: str, session: str, reason: str) -> None:
        """Moves a record aside whose state turns out to be damaged."""
        self.count_damaged(name_of(owner, session), reason)
        await self._move_aside(name_of(owner, session))

    async def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        """Takes the session over: the stored record, now one epoch later. None when there is none."""

        def take(stored: Stored | None) -> Stored | None:
            return stored and replace(stored, epoch=stored.epoch + 1, holder=holder)

        return self._counted(name := name_of(owner, session), await self.change(name, take))

    async def write(
        self, owner: str, session: str, stored: Stored, after: int, unanswered: Collection[bytes] = ()
    ) -> None:
        """Compare-and-set: raises `SessionMoved` when the stored epoch is not `after` (0: there should be no record).

        A record that was deleted is written again, and one whose state begins with any of the `unanswered`: it is by an
        earlier call that raised `NotReady`. Raises `OutOfRoom` where the owner has used its quota up.
        """
        name = name_of(owner, session)
        if self.room and not self.room.fits(name, stored.state):
            raise OutOfRoom

        def replace_older(older: Stored | None) -> Stored:
            if older is not None and older.epoch != after and older.state[:MAC] not in unanswered:
                raise SessionMoved(f"the session has moved to {older.holder or 'another server'}", "session_id")
            return stored

        self._counted(name, await self.change(name, replace_older))

    async def epoch(self, owner: str, session: str) -> int:
        """The stored epoch; 0 when there is no record. A frame waits for it, so the answer comes soon or not at all."""
        stored = await self.change(name_of(owner, session), lambda stored: stored, SOON)
        return stored.epoch if stored else 0

    async def forget(self, owner: str, session: str, epoch: int) -> bool:
        """Deletes the record unless its epoch is later. Whether there was one."""
        deleted = False

        def drop(stored: Stored | None) -> Stored | None:
            nonlocal deleted
            deleted = stored is not None and stored.epoch <= epoch
            return None if deleted else stored

        await self.change(name := name_of(owner, session), drop)
        if deleted:
            self._counted(name, None)
        return deleted

    async def erase(self, belongs: Callable[[bytes], bool]) -> int:
        """Deletes the sessions and lesson groups with records that `belongs(record)`; returns how many.

        What a newer version wrote stays. Damaged records, of which nobody can tell whose they were, are deleted too.
        """
        erased = set[str]()
        for name in await self._session_names():

            def drop(stored: Stored | None, name: str = name) -> Stored | None:
                if stored is None or not belongs(stored.state):
                    return stored
                erased.add(name)
                return None

            with suppress(NewerFormat):
                await self.change(name, drop)
        for group in await self._group_names():
            if await self._belongs(group, belongs):
                await self._drop_group(group)
                erased.add(group)
        await self._drop_aside()
        if self.room:
            for name in erased:
                self.room.drop(name)
        return len(erased)

    async def fetch(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        """`read`, counted for the owner's quota."""
        records = await self.read(group, names)
        if self.room:
            self.room.put(group, records)
        return records

    async def put_fitting(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> set[str]:
        """`put` of those records for which the owner's quota has room: their names."""
        if not (room := self.room):
            await self.put(group, records, gone)
            return set(records)
        room.put(group, dict.fromkeys(gone, b""))
        fitting = dict[str, bytes]()
        for name, record in records.items():
            if room.fits(group, record, name):
                room.put(group, {name: record})
                fitting[name] = record
        await self.put(group, fitting, gone)
        return set(fitting)

    async def _belongs(self, group: str, belongs: Callable[[bytes], bool]) -> bool:
        for name in await self.names(group):
            if any(map(belongs, (await self.read(group, [name])).values())):
                return True
        return False

    @abstractmethod
    async def _session_names(self) -> Sequence[str]:
        """The names of all records of sessions."""

    @abstractmethod
    async def _group_names(self) -> Sequence[str]:
        """The names of all lesson groups."""

    @abstractmethod
    async def _drop_group(self, group: str) -> None:
        """Deletes all records of that group."""

    @abstractmethod
    async def _drop_aside(self) -> None:
        """Deletes all damaged records."""

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
