"""The label sets that each owner may name by id. Their features are shared: an id is a digest of the content."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...core.errors import UnknownLabels
from ...core.labels import LabelSet
from ...core.parameters import shorten
from .cache import TextSpaceCache
from .entries import LRU

ID = re.compile("[0-9a-f]{32}")  # the form of all ids


@dataclass(frozen=True, slots=True)
class CachedLabelSet:
    """A label set that clients may name by id."""

    labels: LabelSet
    bytes: int  # of its text features, with what strategies and backward passes store for it; 0 when evicted
    cached: bool  # a definition stays when its features are evicted; they are encoded again when needed
    unseen: tuple[str, ...] = ()  # names outside the text tower's vocabulary; known while it is cached


class LabelSets:
    """Definitions by owner and id, at most `most` for each owner, who alone can evict, read and delete them."""

    def __init__(self, text_spaces: TextSpaceCache, most: int = 1000) -> None:
        self._text_spaces, self._most = text_spaces, most
        self._owned: dict[str, LRU[LabelSet]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._owned.values()))

    async def put(self, owner: str, labels: LabelSet, client: str = "") -> CachedLabelSet:
        """Encodes the set and registers its definition, so that requests can name it by id. Idempotent."""
        await self._text_spaces.get(labels, client)
        self._owned.setdefault(owner, LRU(self._most)).put(labels.id, labels)
        return self._describe(labels)

    def labels(self, owner: str, id: str) -> LabelSet:
        """The definition of that id, now the most recently used one. Raises `UnknownLabels` when the owner has none."""
        owned = self._owned.get(owner)
        if owned is None or id not in owned:
            advice = "register it again" if ID.fullmatch(id) else "names of classes are a list, even a single one"
            raise UnknownLabels(f"no label set {shorten(id)} is held here; {advice}", "labels.id")
        return owned[id]

    def find(self, owner: str, id: str) -> CachedLabelSet:
        """The label set of that id, with what is cached for it. Raises `UnknownLabels`."""
        return self._describe(self.labels(owner, id))

    def list(self, owner: str) -> tuple[CachedLabelSet, ...]:
        """All definitions of the owner, in the order of their ids."""
        owned = self._owned.get(owner)
        return tuple(self._describe(labels) for _, labels in sorted(owned.peek_all().items())) if owned else ()

    def delete(self, owner: str, id: str) -> None:
        """Drops the owner's definition, and the features when no other owner has the set. Requests in progress go on.

        Raises `UnknownLabels`.
        """
        self.labels(owner, id)
        del self._owned[owner][id]
        if not self._owned[owner]:
            del self._owned[owner]
        if not any(id in owned for owned in self._owned.values()):
            self._text_spaces.forget(id)

    def delete_all(self, owner: str) -> int:
        """Drops all definitions of the owner; how many there were."""
        ids = list(self._owned.get(owner, ()))
        for id in ids:
            self.delete(owner, id)
        return len(ids)

    def _describe(self, labels: LabelSet) -> CachedLabelSet:
        entry = self._text_spaces.peek(labels)
        size = entry.bytes + entry.space.activations if entry else 0
        return CachedLabelSet(labels, size, entry is not None, entry.space.unseen if entry else ())
