"""Label values come from closed sets: what callers write must never become a series."""

from __future__ import annotations

from collections.abc import Collection, Iterator


class LabelValues:
    """The names that may become values of one label; any other one is "other", and none "unknown"."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def of(self, name: str) -> str:
        return name if name in self._names else ("other" if name else "unknown")
