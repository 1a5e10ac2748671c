"""Records of sessions in a store."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from ..signing import FORMAT, check_format, format_of, has_lessons

SIGNED = 2  # the format of records with a signature, which versions that know none would drop
OWNED = "owned-"  # no hexadecimal digit: records without an owner are found by their names
UNOWNED = "[0-9a-f]*"
DAMAGED = ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError  # of what is no record


@dataclass(frozen=True, slots=True)
class Stored:
    """The record of one session in a store."""

    epoch: int  # grows by one whenever a server takes the session over
    holder: str  # the address of the server that took it over last
    state: bytes  # encrypted and signed
    writes: int = field(default=0, compare=False)  # of the session's records by now
    signature: str = field(default="", compare=False)  # by `RecordSigner`; none: from before records were signed


def name_of(owner: str, session: str) -> str:
    """A name for files and keys, of safe characters. That of an owner begins with `OWNED`."""
    return OWNED * bool(owner) + hashlib.sha256(json.dumps([owner, session]).encode()).hexdigest()


def lifetime(state: bytes, keep: float, keep_taught: float) -> float:
    """Seconds that a state is kept after its last write: one with lessons at least `keep_taught`, others `keep`."""
    return max(keep, keep_taught) if has_lessons(state) else keep


def check_formats(record: object, state: bytes) -> None:
    """Raises `NewerFormat` when the record, by its number, or the state in it is a newer version's."""
    check_format(record, newest=SIGNED)
    check_format(format_of(state))


def format_of_record(stored: Stored) -> int:
    """The number that it is written with."""
    return SIGNED if stored.signature else FORMAT
