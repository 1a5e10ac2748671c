"""How much of a store each owner has, as far as this server knows: what it has written, read and found at its start."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ....core.errors import Overloaded
from ..signing import head_of
from .records import lifetime

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


class StoredBytes:
    """At most `most` bytes of records for one owner. Records from before encryption do not say whose they are.

    Records are forgotten as stores forget them: `keep` seconds after their last write, with lessons `keep_taught`.
    """

    def __init__(
        self, most: int, keep: float, keep_taught: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._keep, self._clock = most, (keep, keep_taught), clock
        self._places, self._used = dict[str, _Place](), Counter[str]()
        self._pruned = self._warned = -QUIET
        self.refused = 0  # records that were not written

    def used(self, owner: str) -> int:
        """Bytes of the owner, by its tag."""
        self._prune()
        return self._used[owner]

    def check(self, owner: str, more: int = 1) -> None:
        """Raises `Overloaded` when the owner, by its tag, has no room for so many bytes more."""
        if self.used(owner) + more > self._most:
            error = Overloaded(
                f"your sessions and lessons take {self._used[owner]} bytes of this server's store, and at most"
                f" {self._most} are allowed: close sessions or take lessons back",
                retry_after=RETRY,
            )
            raise error.of_quota(QUOTA)

    def fits(self, place: str, state: bytes, name: str = "") -> bool:
        """Whether a record may be written. One that is not is counted, and said in the log."""
        known, owner = self._places.get(place), _owner_of(state)
        before = known.sizes.get(name, 0) if known and known.owner == owner else 0
        if not owner or len(state) <= before or self.used(owner) - before + len(state) <= self._most:
            return True
        self.refused += 1
        if self._clock() - self._warned >= QUIET:
            self._warned = self._clock()
            log.warning("%s is not written: its owner has used %s up, with %d bytes", place, QUOTA, self._used[owner])
        return False

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


def _owner_of(state: bytes) -> str:
    return str(head_of(state).get("owner", ""))
