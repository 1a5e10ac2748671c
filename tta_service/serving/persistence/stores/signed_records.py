"""Changes of records that can be trusted: signed, and not older than what was written last."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from ....core.errors import NotReady
from .breaker import CircuitBreaker
from .record_signer import RecordSigner
from .records import Stored

LIMIT, SOON = 5.0, 1.0  # seconds for one operation, and for one that a frame waits for
Change = Callable[[Stored | None], Stored | None]  # the stored record -> the new one; None: there is none
PREFIX = "writes-"  # of the names of write counters
log = logging.getLogger(__name__)


class Untrusted(Exception):
    """A record was not written by this service, or not as the last one."""


class Channel(Protocol):
    """Questions to all other servers that share a store."""

    async def ask(self, question: bytes, seconds: float) -> None:
        """Returns when a server has said yes, when all have said no, and after so many seconds."""
        ...

    async def listen(self, answer: Callable[[bytes], Awaitable[bool]]) -> None:
        """Answers the others' questions by `answer(question)` until cancelled."""
        ...


class SignedRecords(ABC):
    """Records by name, changed one at a time in one atomic step."""

    channel: Channel | None = None  # through which servers hear each other, where the store has one

    def __init__(self) -> None:
        self.breaker = CircuitBreaker(self._probe)
        self.damaged = 0  # records that were moved aside
        self.signer: RecordSigner | None = None
        self.counters: WriteCounters | None = None  # what the writer of records cannot bring back

    def count_damaged(self, name: str, reason: object) -> None:
        """Counts a record that is moved aside, and says so."""
        self.damaged += 1
        log.warning("the stored record %s is damaged, counts as none and is moved aside: %r", name, reason)

    async def sweep(self) -> None:  # noqa: B027 - most need not
        """Deletes what is too old, where the store does not do that by itself."""

    async def change(self, name: str, change: Change, limit: float = LIMIT) -> Stored | None:
        """Replaces the record of that name by `change(record)`, unless that is the same one. Returns the new record.

        `change` may be called again, when another server was faster. It takes `limit` seconds at most. A record that
        cannot be trusted is none.
        """
        least = await self.counters.count(name) if self.counters else 0
        outcome, changed = None, False

        def change_trusted(stored: Stored | None) -> Stored | None:
            nonlocal outcome, changed
            if stored is not None and (reason := self._distrust(name, stored, least)):
                raise Untrusted(reason)
            outcome = change(stored)
            changed = outcome is not stored
            if outcome is not None and changed:
                outcome = replace(outcome, writes=max(least, stored.writes if stored else 0) + 1, signature="")
                outcome = self.signer.sign(name, outcome) if self.signer else outcome
            return outcome

        try:
            await self._replace(name, change_trusted, limit)
        except Untrusted as error:
            self.count_damaged(name, error)
            await self._move_aside(name)
            return await self.change(name, change, limit)
        if self.counters and changed:
            await self.counters.raise_to(name, outcome.writes if outcome else least + 1)
        return outcome

    def _distrust(self, name: str, stored: Stored, least: int) -> str:
        """Why the record is not to be used, if so."""
        if self.signer and not self.signer.verify(name, stored):
            return "it is not what was written"
        return f"an older record was played back, write {stored.writes} of {least}" if stored.writes < least else ""

    @abstractmethod
    async def _replace(self, name: str, change: Change, limit: float) -> Stored | None:
        """`change` without trust. Whatever `change` raises leaves the record as it is."""

    @abstractmethod
    async def _move_aside(self, name: str) -> None:
        """Moves the record of a session aside; there need not be one."""

    @abstractmethod
    async def close(self) -> None:
        """Frees threads and connections."""

    @abstractmethod
    async def _probe(self) -> None:
        """Returns when the store answers. Raises `NotReady`."""


class WriteCounters:
    """How often the records of sessions were written, in a store of its own."""

    def __init__(self, store: SignedRecords) -> None:
        self.store = store

    async def count(self, name: str) -> int:
        """Raises `NotReady`."""
        found = await self.store.change(PREFIX + name, lambda stored: stored)
        return found.epoch if found else 0

    async def raise_to(self, name: str, count: int) -> None:
        """It never becomes less. A store that does not answer keeps the count before, which the log says."""

        def higher(found: Stored | None) -> Stored:
            return found if found and found.epoch >= count else Stored(count, "", b"")

        try:
            await self.store.change(PREFIX + name, higher)
        except NotReady as error:
            self.store.breaker.warn(f"the write counter of {name} was not raised", error)
