"""How long a test waits for an event before it fails. A passing run does not wait that long."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds


def until(true: Callable[[], object]) -> None:
    """Returns when it is; fails when that never comes. For threads and processes that announce nothing."""
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.005)
