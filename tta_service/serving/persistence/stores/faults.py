"""What callers and the log learn of a store that fails: no caller reads a path, an address or an error's number."""

from __future__ import annotations

import errno

from ....core.errors import NotReady

FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
REFUSED = errno.EROFS, errno.EACCES, errno.EPERM


def to_not_ready(error: Exception) -> NotReady:
    """The error for the caller of an OSError, or of an error of Redis; raise it from that one, which the log names."""
    number, text = getattr(error, "errno", None), str(error)
    if number in FULL or "'maxmemory'" in text:
        return NotReady("the state store is full")
    if number in REFUSED or "read only replica" in text:
        return NotReady("the state store may not be written")
    return NotReady("the state store does not answer: the server's log says why")


def describe(error: NotReady) -> str:
    """What the log says of it: its cause, which may name files and addresses."""
    return str(error.__cause__ or "") or error.message
