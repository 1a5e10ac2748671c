"""Lesson groups in the state store, through which their servers exchange entries."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ...core.errors import MemoryFull, NewerFormat, NotReady
from ...core.lessons import Lesson
from ..concurrency import KeyedQueue, run
from ..sessions.group_entries import KEY, GroupEntry, Removal, SiteSums, name_of
from ..sessions.lesson_groups import LessonGroup
from ..sessions.registry import SessionRegistry
from .encryption import Subject
from .lesson_codec import decode_lessons, decode_sums, encode_lessons, encode_sums
from .snapshots import Snapshots
from .stores.base import Store
from .stores.records import name_of as name_in_store

NAME = re.compile(rf"[0-9a-f]{{{KEY}}}-[0-9]{{17}}-[0-9a-f]{{8}}")
log = logging.getLogger(__name__)


class GroupSync:
    """Reads the entries of other servers, and writes those that the store lacks; what fails is tried again.

    Every entry is a record of its own, so servers that write at once lose nothing. Snapshots lend it their codec, and
    find the groups of restored sessions here.
    """

    def __init__(self, store: Store, registry: SessionRegistry, snapshots: Snapshots) -> None:
        self._store, self._registry, self._queue = store, registry, KeyedQueue()
        self._lane = snapshots.lanes.prepare
        self._codec, self._fingerprint, self._encode_again = (
            snapshots.codec,
            snapshots.fingerprint,
            snapshots.encode_again,
        )
        self._adopt_owner = snapshots.adopt_owner
        snapshots.load_group = self.load
        self._stored = WeakKeyDictionary[LessonGroup, set[str]]()  # names of the entries that the store has
        self._unusable = WeakKeyDictionary[LessonGroup, set[str]]()  # names of records that are damaged or too many
        self._behind = WeakSet[LessonGroup]()  # whose last exchange found no store

    async def load(self, owner: str, id: str) -> None:
        """Reads what the store holds of a group that has not been read here. Nothing opens no group.

        Raises as `SessionRegistry.obtain`.
        """
        group = self._registry.obtain_group(owner, id)
        if group not in self._stored:
            await self._sync_in_order(group)
            if not group.names and group.evictable:
                self._registry.groups.close(group)

    async def save(self, owner: str, id: str) -> bool:
        """Whether the store has all that the group has been taught by now."""
        group = self._registry.groups.get(owner, id)
        if group is None:
            return False
        names = set(group.names.values())
        await self._sync_in_order(group)
        return names <= self._stored.get(group, set())

    @property
    def is_behind(self) -> bool:
        """Whether the store failed, and an exchange is to be tried again."""
        return any(not group.closed for group in self._behind)

    @property
    def unwritten(self) -> list[LessonGroup]:
        """Groups of which the store lacks something."""
        groups, stored = self._registry.groups.open_groups, self._stored
        return [group for group in groups if not stored.get(group, set()).issuperset(group.names.values())]

    async def sync_all(self) -> None:
        """Brings all groups up to date, here and in the store."""
        for group in self._registry.groups.open_groups:
            await self._sync_in_order(group)

    async def settle(self) -> None:
        """Returns when all that was begun before is done."""
        await self._queue.join()

    async def run(self, every: float) -> None:
        """Does this every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.sync_all()

    async def _sync_in_order(self, group: LessonGroup) -> None:
        await asyncio.shield(self._queue.submit((group.owner, group.id), partial(self._sync, group)))

    async def _sync(self, group: LessonGroup) -> None:
        try:
            await self._exchange(group)
        except NotReady as error:
            self._store.breaker.warn(f"group {group.id} goes on without the store; this will be tried again", error)
            self._behind.add(group)
        except Exception:
            log.exception("group %s could not be brought up to date with the store", group.id)
        else:
            self._behind.discard(group)

    async def _exchange(self, group: LessonGroup) -> None:
        unusable = self._unusable.setdefault(group, set())
        if group not in self._stored and group.owner and group.owner == self._adopt_owner:
            await self._read_entries(group, "", unusable)  # what is from before owners is written anew for this one
        there, usable = await self._read_entries(group, group.owner, unusable)
        if not group.closed:
            self._stored[group] = await self._write(group, name_in_store(group.owner, group.id), there, usable)

    async def _read_entries(self, group: LessonGroup, owner: str, unusable: set[str]) -> tuple[set[str], set[str]]:
        """Reads what is new in that owner's records of the group: the names of all, and of those that may stay.

        Records that cannot be used join the `unusable`.
        """
        key = name_in_store(owner, group.id)
        there = {name for name in await self._store.names(key) if NAME.fullmatch(name)}
        missing = [name for name in sorted(there - unusable) if name > group.names.get(name[:KEY], "")]
        records = await self._store.fetch(key, missing) if missing else {}
        entries = await self._decode(group, owner, records)
        unusable |= records.keys() - entries.keys()
        stale = {name for name in entries if not self._codec.is_current(records[name])}  # they are written anew
        if not group.closed:
            self._registry.merge_group(group, self._admit(group, entries, unusable))
        return there, there - unusable - stale

    async def _write(self, group: LessonGroup, key: str, there: set[str], usable: set[str]) -> set[str]:
        """Writes what the store lacks, and deletes what has been replaced there; returns what it has of use."""
        lacking = {name: group.entries[name[:KEY]] for name in group.names.values() if name not in usable}
        replaced = [name for name in there if name < group.names.get(name[:KEY], "")]
        if lacking or replaced:
            encoded = await run(self._lane, lambda: {name: self._dump(group, one) for name, one in lacking.items()})
            usable = usable | await self._store.put_fitting(key, encoded, replaced)
        return usable

    def _admit(self, group: LessonGroup, entries: dict[str, GroupEntry], unusable: set[str]) -> Iterable[GroupEntry]:
        """The entries for which there is room, in the order of teaching."""
        for name in sorted(entries, key=lambda name: name[KEY:]):
            entry = entries[name]
            try:
                self._registry.room.admit(group, group.bytes_of(entry))
            except MemoryFull as error:
                log.warning("group %s has no room for a lesson of another server: %s", group.id, error.message)
                unusable.add(name)
                continue
            yield entry

    async def _decode(self, group: LessonGroup, owner: str, records: dict[str, bytes]) -> dict[str, GroupEntry]:
        """Those that can be used."""
        entries = await run(
            self._lane, lambda: {name: self._load(group, owner, name, record) for name, record in records.items()}
        )
        found = {name: entry for name, entry in entries.items() if entry is not None}
        apart = {name: one for name, one in found.items() if isinstance(one, Lesson) and one.example.set_apart}
        if apart:
            found |= dict(zip(apart, await self._encode_again(group.owner, list(apart.values())), strict=True))
        return found

    def _dump(self, group: LessonGroup, entry: GroupEntry) -> bytes:
        header: dict[str, Any] = {"owner": group.owner, "group": group.id, "name": name_of(entry)}
        subject = _subject(group.owner, group.id, header["name"])
        if isinstance(entry, Removal):
            header["removal"] = [entry.example, entry.labels, entry.taught]
            return self._codec.dumps(header, {}, subject)
        if isinstance(entry, SiteSums):
            header["site"] = [entry.site, entry.taught]
            header["sums"], values = encode_sums(entry.sums, self._fingerprint)
            return self._codec.dumps(header, values, subject)
        header["lessons"], values = encode_lessons([entry], 0, self._fingerprint)
        return self._codec.dumps(header, values, subject)

    def _load(self, group: LessonGroup, owner: str, name: str, record: bytes) -> GroupEntry | None:
        """None, with a warning, for what is damaged, or of a newer version."""
        try:
            header, values = self._codec.loads(record, _subject(owner, group.id, name))
            if [header.get(one) for one in ("owner", "group", "name")] != [owner, group.id, name]:
                raise ValueError("it is of another group")
            if "removal" in header:
                return Removal(*header["removal"])
            if "sums" in header:
                site, taught = header["site"]
                return SiteSums(site, decode_sums(header["sums"], values, self._fingerprint), taught)
            return decode_lessons(header["lessons"], values, self._fingerprint)[0]
        except NewerFormat as error:
            log.warning("a lesson of group %s is left out: %s", group.id, error.message)
        except Exception as error:  # whatever is in a record must not keep the others from being read
            log.warning("a record of group %s is damaged and left out: %s", group.id, error)
        return None


def _subject(owner: str, group: str, name: str) -> Subject:
    return Subject("lesson", owner, f"{group}/{name}")
