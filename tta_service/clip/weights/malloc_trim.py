"""Memory that is free, back to the operating system."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """What the allocator holds for later: after a model has changed its form, that is about one model. glibc alone."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
