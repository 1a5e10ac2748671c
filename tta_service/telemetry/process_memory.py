"""The memory of this process: how much it may take, and how much it took at its peak."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CGROUPS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit(root: Path = Path("/")) -> int:
    """The bytes that this process may take, 0 where unknown: the container's limit, at most the machine's memory."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        machine = 0
    for path in CGROUPS:
        try:
            limit = int((root / path).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return min(limit, machine) if machine else limit
    return machine


class RisingMemory:
    """How far the resident memory rises above its value now. Freed memory goes back to the system first.

    Raises OSError where the kernel does not report it (only Linux does).
    """

    def __init__(self) -> None:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone keeps freed pages for later
        if trim:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._before = _status("VmRSS")

    def rise(self) -> int:
        """Bytes from the start to the highest value since."""
        return max(0, _status("VmHWM") - self._before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"the kernel does not report {field}")
