"""Who calls, and within which trace, from what a transport knows of its peer."""

from __future__ import annotations

import re
from collections.abc import Iterable

OWNER = ""  # of all sessions: callers are not authenticated yet
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{,256})?")  # later versions add fields


def client_of(peer: str) -> str:
    """The client that quotas count: the owner, or the address in `peer` (host:port) while callers are anonymous."""
    return OWNER or str(peer).rpartition(":")[0]


def trace_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The caller's span, from the W3C header `traceparent`; "" when it is absent or malformed."""
    values = (value for key, value in metadata or () if key == "traceparent")
    return next((value for value in values if isinstance(value, str) and TRACEPARENT.fullmatch(value)), "")
