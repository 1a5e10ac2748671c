"""Where sessions outlive their server: sealed states under owner and id, guarded by an epoch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

from ....core.errors import SessionMoved
from ..signing import check_format, format_of


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds of one session."""

    epoch: int  # of the server that wrote it or took it over last
    holder: str  # that server's address
    state: bytes  # sealed


class Store(Protocol):
    """Blocking; called in a lane of its own. OSError when it cannot be reached.

    What a newer version wrote is left as it is: every method raises `NewerFormat` for it.
    """

    def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        """Takes the session over in one step: what is held, now one epoch later. None when nothing is."""
        ...

    def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        """Compare and set: `SessionMoved` when what is held is of another epoch than `after` (0: nothing is held).

        What somebody has deleted is written anew.
        """
        ...

    def epoch(self, owner: str, session: str) -> int:
        """Of what is held; 0 when nothing is."""
        ...

    def forget(self, owner: str, session: str, epoch: int) -> None:
        """Deletes the session unless a later epoch holds it."""
        ...


def name_of(owner: str, session: str) -> str:
    """A name of fixed length for files and keys, whatever owners are called."""
    return hashlib.sha256(json.dumps([owner, session]).encode()).hexdigest()


def check_formats(record: object, state: bytes) -> None:
    """Raises `NewerFormat` when the record, by its number, or the state in it is a newer version's."""
    check_format(record)
    check_format(format_of(state))


def check_epoch(held: Stored | None, after: int) -> None:
    """Raises `SessionMoved` unless what is held is what the writer wrote last."""
    if held is not None and held.epoch != after:
        raise SessionMoved(f"the session has moved to {held.holder or 'another server'}", "session_id")
