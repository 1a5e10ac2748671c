"""The machine that a benchmark ran on, for its report."""

from __future__ import annotations

import os
import platform
from pathlib import Path

INSTRUCTIONS = ("avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8")  # that our kernels use


def processor() -> str:
    """The name of the processor, as Linux knows it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """The instructions that matter here and that this processor has."""
    flags = _cpuinfo("flags").split()
    return [word for word in INSTRUCTIONS if word in flags]


def load_average() -> float:
    """Processes that ran or waited during the last minute."""
    return round(os.getloadavg()[0], 1)


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field), "")
