"""Keys and fields of records in Redis."""

from __future__ import annotations

from collections.abc import Mapping

from ..encryption import MAC
from ..signing import FORMAT
from .faults import to_not_ready
from .records import Stored, check_formats, format_of_record

HEAD = b"epoch", b"format", b"holder", b"writes", b"seal", b"mac"  # mac: the beginning of the state


class WrongType(Exception):
    """A key holds something that is no hash."""


def to_fault(error: Exception) -> Exception:
    """What to raise from an error of Redis: `NotReady`, or `WrongType`."""
    return WrongType(str(error)) if "WRONGTYPE" in str(error) else to_not_ready(error)


def key_of(name: str) -> str:
    """Of a session's record."""
    return f"tta:session:{name}"


def group_key_of(name: str) -> str:
    """Of a lesson group's records."""
    return f"tta:lessons:{name}"


def parse_record(fields: Mapping[bytes, bytes | None]) -> Stored | None:
    """A session's record; None without fields. Raises `records.DAMAGED`, `NewerFormat`."""
    if not fields:
        return None
    given = {name: value for name, value in fields.items() if value is not None}
    check_formats(given.get(b"format", b"%d" % FORMAT).decode(errors="replace"), given.get(b"state", b""))
    writes, signature = int(given.get(b"writes", 0)), given.get(b"seal", b"").decode()
    return Stored(int(given[b"epoch"]), given[b"holder"].decode(), given[b"state"], writes, signature)


def dump_record(stored: Stored) -> dict[str, int | str | bytes]:
    """The fields of a record."""
    fields: dict[str, int | str | bytes] = {"format": format_of_record(stored), "epoch": stored.epoch}
    fields |= {"holder": stored.holder, "state": stored.state}
    if stored.signature:
        fields |= {"writes": stored.writes, "seal": stored.signature, "mac": stored.state[:MAC]}
    return fields
