"""What the machine, or the container that we are in, lets us have."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes: the container's limit where there is one below the machine's memory; 0 where neither is known."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        machine = 0
    for place in CGROUPS:
        try:
            limit = int((root / place).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return min(limit, machine) if machine else limit
    return machine
