"""Which precisions this machine computes in hardware. Emulated, they are many times slower than float32."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import torch

NEEDED = {  # any of these, as Linux names them in /proc/cpuinfo on x86 and on ARM
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8"),
}


@cache
def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What all processors of this machine can do; nothing where the kernel does not tell."""
    try:
        listed = re.findall(r"^(?:flags|Features)\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset.intersection(*(frozenset(line.split()) for line in listed)) if listed else frozenset()


def why_not(precision: str, device: torch.device, features: frozenset[str] | None = None) -> str:
    """Why this device should not compute in that precision; empty when it should."""
    if precision == "float32":
        return ""
    if device.type == "cpu":
        needed = NEEDED[precision]
        if (cpu_features() if features is None else features).isdisjoint(needed):
            return f"this CPU has none of {', '.join(needed)}, without which {precision} is slower than float32"
    elif precision == "int8":
        return f"int8 is for CPUs; on {device.type} float16 and bfloat16 are the fast ones"
    elif precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        return f"{torch.cuda.get_device_name(device)} does not compute in bfloat16"
    return ""
