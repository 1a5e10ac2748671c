"""The bytes that all memories take, by owner and by strategy, and their limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Limits in bytes of memories, and the limit of open sessions."""

    session: int = 256 << 20
    owner: int = 1 << 30
    total: int = 4 << 30
    sessions: int = 10_000


@dataclass(slots=True)
class MemoryAccounting:
    """Plain sums in bytes. `by_strategy` is replaced, never changed in place, so that any thread may read it."""

    total: int = 0
    by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])
    _by_owner: Counter[str] = field(default_factory=Counter[str])

    def of_owner(self, owner: str) -> int:
        """The bytes of all memories of that owner."""
        return self._by_owner[owner]

    def change(self, owner: str, strategy: str, by: int) -> None:
        """A memory of that owner and strategy has grown by so many bytes; a negative number: it has shrunk."""
        if not by:
            return
        self.total += by
        self._by_owner[owner] += by
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        now = {**self.by_strategy, strategy: self.by_strategy.get(strategy, 0) + by}
        self.by_strategy = MappingProxyType({name: size for name, size in now.items() if size})
