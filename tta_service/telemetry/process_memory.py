"""What the machine, or the container that we are in, lets us have."""

from __future__ import annotations

import ctypes
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


class RisingMemory:
    """How far the process's resident memory rises above where it stands now; what was freed is given back before.

    Raises OSError where the kernel does not tell (not Linux).
    """

    def __init__(self) -> None:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone keeps freed pages for later
        if trim:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self._before = _status("VmRSS")

    def rise(self) -> int:
        """Bytes from the start to the peak since."""
        return max(0, _status("VmHWM") - self._before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"the kernel does not tell {field}")
