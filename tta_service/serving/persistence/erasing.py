"""Deletes all that is kept of an owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..sessions.registry import SessionRegistry
from ..sessions.stored_version import StoredVersion
from ..text.label_sets import LabelSets
from .signing import SignedCodec, owners_of
from .stores.base import Store


@dataclass(frozen=True, slots=True)
class Erased:
    """What there was of an owner."""

    sessions: int
    lesson_groups: int
    label_sets: int


class OwnerEraser:
    """Erases an owner with what it has adopted.

    `settle()` returns when no write of a session or group that was closed before is under way.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        label_sets: LabelSets,
        store: Store | None,
        codec: SignedCodec,
        settle: Callable[[], Awaitable[None]],
        adopt_owner: str = "",
    ) -> None:
        self._registry, self._label_sets, self._store, self._codec = registry, label_sets, store, codec
        self._settle, self._adopt_owner = settle, adopt_owner
        self._closing = dict[str, list[StoredVersion]]()  # by owner: of sessions whose records may still be there

    def erase_here(self, owner: str) -> Erased:
        """Ends all that this server holds: sessions, with streams and questions, lesson groups, label sets."""
        registry = self._registry
        sessions = [session for session in registry.open_sessions if session.owner == owner]
        for session in sessions:
            registry.close(session, "client")
        if self._store:
            self._closing.setdefault(owner, []).extend(session.stored for session in sessions)
        registry.forget_evicted(owner)
        groups = [group for group in registry.groups.open_groups if group.owner == owner]
        for group in groups:
            registry.groups.close(group)
        return Erased(len(sessions), len(groups), self._label_sets.delete_all(owner))

    async def erase_stored(self, owner: str) -> int:
        """The same in the store; how many sessions and lesson groups it had. Raises `NotReady`.

        Records that go with the sessions which `erase_here` closed are among them.
        """
        await self._settle()
        if self._store is None:
            return 0
        owners = owners_of(owner, self._adopt_owner)
        found = await self._store.erase(lambda record: any(self._codec.belongs_to(one, record) for one in owners))
        return found + sum(stored.deleted for stored in self._closing.pop(owner, []))
