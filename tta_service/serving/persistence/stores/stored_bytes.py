"""How much of a store each owner has, as far as this server knows: what it has written, read and found at its start."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ....core.errors import Overloaded
from ..signing import head_of
from .records import lifetime

REMEMBERED = 120.0  # seconds after the last attempt to write a refused record; while it is wanted it is tried again
QUOTA = "sessions.owner_stored_bytes"
RETRY, QUIET = 60.0, 60.0  # seconds until room may be found again; between two lines of the log, and two prunings
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """The record of a session, or those of a lesson group by name."""

    owner: str  # as records say it
    until: float  # monotonic seconds: then the store has forgotten it
    sizes: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


@dataclass(slots=True)
class _Refused:
    """The records of one place for which there was no room."""

    until: float = 0.0  # monotonic seconds: then nobody tries to write them any more
    growths: dict[str, int] = field(default_factory=dict[str, int])  # by name: bytes that each would add

    @property
    def least(self) -> int:
        return min(self.growths.values(), default=0)


class StoredBytes:
    """At most `most` bytes of records for one owner. Records from before encryption do not say whose they are.

    Records are forgotten as stores forget them: `keep` seconds after their last write, with lessons `keep_taught`.
    """

    def __init__(
        self, most: int, keep: float, keep_taught: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._keep, self._clock = most, (keep, keep_taught), clock
        self._places, self._used = dict[str, _Place](), Counter[str]()
        self._refused = dict[str, _Refused]()  # by place
        self._pruned = self._warned = -QUIET
        self.refused = 0  # records that were not written, each once until it is

    def used(self, owner: str) -> int:
        """Bytes of the owner, by its tag."""
        self._prune()
        return self._used[owner]

    def check(self, owner: str, more: int = 1, places: Iterable[str] = ()) -> None:
        """Raises `Overloaded` when the owner, by its tag, has no room for so many bytes more.

        Nor for any of the records of those places that were refused before.
        """
        used = self.used(owner)
        more = max(more, *(self._refused[one].least for one in places if one in self._refused), 1)
        if used + more > self._most:
            adds = f", this adds {more}" if more > 1 else ""
            error = Overloaded(
                f"your sessions and lessons take {used} bytes of this server's store{adds}, and at most"
                f" {self._most} are allowed: close sessions or take lessons back",
                retry_after=RETRY,
            )
            raise error.of_quota(QUOTA)

    def growth(self, owner: str, place: str, size: int, name: str = "") -> int:
        """Bytes that a record of that size would add to the owner's, by its tag."""
        known = self._places.get(place)
        return size - (known.sizes.get(name, 0) if known and known.owner == owner else 0)

    def fits(self, place: str, state: bytes, name: str = "") -> bool:
        """Whether a record may be written. One that is not is counted, and said in the log."""
        owner, refused = _owner_of(state), self._refused.get(place, _Refused())
        growth, used = self.growth(owner, place, len(state), name), self.used(owner)
        if not owner or growth <= 0 or used + growth <= self._most:
            refused.growths.pop(name, None)
            return True
        if name not in refused.growths:
            self.refused += 1
            self._warn(place, len(state), used)
        refused.growths[name], refused.until = growth, self._clock() + REMEMBERED
        self._refused[place] = refused
        return False

    def still_refuses(self, owner: str, place: str) -> bool:
        """Whether the owner, by its tag, still lacks the room for what was refused there."""
        used, refused = self.used(owner), self._refused.get(place)
        if not refused or used + refused.least <= self._most:
            return False
        refused.until = self._clock() + REMEMBERED
        return True

    def _warn(self, place: str, size: int, used: int) -> None:
        if self._clock() - self._warned >= QUIET:
            self._warned, bound = self._clock(), f"{QUOTA} is {self._most}"
            log.warning("%s, of %d bytes, is not written: its owner has %d, and %s", place, size, used, bound)

    def put(self, place: str, records: Mapping[str, bytes]) -> None:
        """The store has these records there; empty ones are gone."""
        for name, state in records.items():
            if state and (owner := _owner_of(state)):
                until = self._clock() + lifetime(state, *self._keep)
                known = self._places.setdefault(place, _Place(owner, until))
                self._used[known.owner] += len(state) - known.sizes.get(name, 0)
                known.sizes[name], known.until = len(state), max(known.until, until)
            elif known := self._places.get(place):
                self._used[known.owner] -= known.sizes.pop(name, 0)
                if not known.sizes:
                    self.drop(place)

    def drop(self, place: str) -> None:
        """All that was there is gone."""
        self._refused.pop(place, None)
        if known := self._places.pop(place, None):
            self._used[known.owner] -= known.bytes
            if not self._used[known.owner]:
                del self._used[known.owner]

    def _prune(self) -> None:
        now = self._clock()
        if now - self._pruned >= QUIET:
            self._pruned = now
            for place in [place for place, known in self._places.items() if known.until <= now]:
                self.drop(place)
            self._refused = {place: one for place, one in self._refused.items() if one.until > now and one.growths}


def _owner_of(state: bytes) -> str:
    return str(head_of(state).get("owner", ""))
