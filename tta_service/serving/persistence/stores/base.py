"""The interface of state stores: signed states by owner and session id, each with an epoch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

from ....core.errors import SessionMoved
from ..signing import check_format, format_of


@dataclass(frozen=True, slots=True)
class Stored:
    """The record of one session in a store."""

    epoch: int  # grows by one whenever a server takes the session over
    holder: str  # the address of the server that took it over last
    state: bytes  # signed


class Store(Protocol):
    """Methods block and are called in a lane of their own. They raise OSError when the store cannot be reached.

    What a newer version wrote is left as it is: every method raises `NewerFormat` for it.
    """

    def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        """Takes the session over, atomically: the stored record, now one epoch later. None when there is none."""
        ...

    def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        """Compare-and-set: raises `SessionMoved` when the stored epoch is not `after` (0: there should be no record).

        A record that was deleted is written again.
        """
        ...

    def epoch(self, owner: str, session: str) -> int:
        """The stored epoch; 0 when there is no record."""
        ...

    def forget(self, owner: str, session: str, epoch: int) -> None:
        """Deletes the record unless its epoch is later."""
        ...


def name_of(owner: str, session: str) -> str:
    """A name for files and keys, of fixed length and safe characters."""
    return hashlib.sha256(json.dumps([owner, session]).encode()).hexdigest()


def check_formats(record: object, state: bytes) -> None:
    """Raises `NewerFormat` when the record, by its number, or the state in it is a newer version's."""
    check_format(record)
    check_format(format_of(state))


def check_epoch(stored: Stored | None, after: int) -> None:
    """Raises `SessionMoved` unless the stored record, if there is one, is what the writer wrote last."""
    if stored is not None and stored.epoch != after:
        raise SessionMoved(f"the session has moved to {stored.holder or 'another server'}", "session_id")
