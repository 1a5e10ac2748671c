"""Who asks, and below which span: read off what a transport knows of its peer."""

from __future__ import annotations

import re
from collections.abc import Iterable

OWNER = ""  # nobody is asked who they are yet
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{,256})?")  # later versions say more


def client_of(peer: str) -> str:
    """Who shares the server's capacity: the owner, or the address of `peer` (host:port) where nobody is asked who they
    are."""
    return OWNER or str(peer).rpartition(":")[0]


def trace_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The caller's span, from the W3C's header `traceparent`; "" when there is none, or nonsense."""
    values = (value for key, value in metadata or () if key == "traceparent")
    return next((value for value in values if isinstance(value, str) and TRACEPARENT.fullmatch(value)), "")
