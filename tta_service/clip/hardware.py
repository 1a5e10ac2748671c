"""Which precisions this machine computes in hardware. Emulated ones are many times slower than float32."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import torch

NEEDED = {  # one of these features is enough; names as in Linux's /proc/cpuinfo on x86 and ARM
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8"),
}
CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}  # the first compute capability of CUDA with hardware for it


@cache
def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The features that all processors of this machine have; empty where the kernel does not list them."""
    try:
        listed = re.findall(r"^(?:flags|Features)\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset.intersection(*(frozenset(line.split()) for line in listed)) if listed else frozenset()


@cache
def sums_bytes_exactly() -> bool:
    """Whether products of int8 matrices are exact. Kernels without VNNI add pairs of products in 16 bits."""
    most = torch.full((32, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(most, most.t()) == 64 * 127 * 127).all())


def why_not(
    precision: str,
    device: torch.device,
    features: frozenset[str] | None = None,
    capability: tuple[int, int] | None = None,
) -> str:
    """Why this device should not compute in that precision; "" when it should. The last two arguments are for tests."""
    if precision == "float32":
        return ""
    if device.type == "cpu":
        return _why_not_cpu(precision, features)
    if precision == "int8":
        return f"int8 is for CPUs; on {device.type} float16 and bfloat16 are the fast ones"
    if device.type != "cuda" or torch.version.hip:
        return ""
    has, needed = capability or torch.cuda.get_device_capability(device), CAPABILITY[precision]
    if has >= needed:
        return ""
    has, needed = (".".join(map(str, version)) for version in (has, needed))
    return f"{device} has compute capability {has}; {precision} is fast from {needed} on"


def _why_not_cpu(precision: str, features: frozenset[str] | None) -> str:
    needed = NEEDED[precision]
    if (cpu_features() if features is None else features).isdisjoint(needed):
        return f"this CPU has none of {', '.join(needed)}, without which {precision} is slower than float32"
    if precision == "int8" and features is None and not sums_bytes_exactly():
        return "the kernels in use let sums of bytes saturate (ONEDNN_MAX_CPU_ISA asks for kernels without VNNI?)"
    return ""
