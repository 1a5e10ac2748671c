"""How many bytes all memories take, by owner and by strategy, and what they may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Bytes of memories, and how many sessions there may be."""

    session: int = 256 << 20
    owner: int = 1 << 30
    total: int = 4 << 30
    sessions: int = 10_000


@dataclass(slots=True)
class MemoryAccounting:
    """Plain sums. `by_strategy` is replaced, never changed, so that any thread may read it."""

    total: int = 0
    by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])
    _by_owner: Counter[str] = field(default_factory=Counter[str])

    def of_owner(self, owner: str) -> int:
        return self._by_owner[owner]

    def change(self, owner: str, strategy: str, by: int) -> None:
        if not by:
            return
        self.total += by
        self._by_owner[owner] += by
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        now = {**self.by_strategy, strategy: self.by_strategy.get(strategy, 0) + by}
        self.by_strategy = MappingProxyType({name: size for name, size in now.items() if size})
