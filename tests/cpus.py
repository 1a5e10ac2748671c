"""Runs the numeric tests with the kernels of other processors: `make test-cpus`.

ATen, oneDNN and MKL choose their kernels by the processor, and each kernel sums in another order. Runtimes with kernels
of their own and Inductor's cache ignore these settings, so their tests are excluded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

KERNELS = {
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "default": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
LACKING = {"AVX512": (), "AVX2": ("avx2",), "DEFAULT": ("avx2", "default")}  # unavailable, or equal to native
FOLDERS = ("tests/strategies", "tests/reducers", "tests/test_maths.py", "tests/clip", "tests/images")
OTHERS = (
    "compile",
    "has_no_graph",  # compiles, too
    "onnxruntime",
    "openvino",
    "test_load",
    "test_gpu",
    "test_cudagraphs",
    "test_release_memory",
    "test_decode",
)


def run(name: str, threads: int) -> bool:
    """One run of the tests; prints its last line, or everything when it fails."""
    settings = KERNELS[name] | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    settings["OMP_WAIT_POLICY"] = "passive"  # two runs at a time share the cores
    selection = " and ".join(f"not {word}" for word in OTHERS)
    if threads > 1:  # only large products are split: the towers', and those of a thousand classes
        selection += " and not test_encoder_config and (not strategies or tower or 1000 or thousand)"
    chosen = ["-m", "not slow", "-k", selection]
    command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-p", "no:cacheprovider", *chosen, *FOLDERS]
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    output = done.stdout + done.stderr if done.returncode else (done.stdout.splitlines() or [""])[-1]
    print(f"{name} kernels, threads: {threads}, {time.monotonic() - began:.0f} s: {output}", flush=True)
    return done.returncode == 0


def main() -> int:
    for name in {name for settings in KERNELS.values() for name in settings}:
        os.environ.pop(name, None)  # native is what the processor offers
    from torch.backends.cpu import get_cpu_capability

    native = get_cpu_capability()
    lacking = LACKING.get(native, ("avx2",))
    for name in lacking:
        print(f"{name} kernels: skipped, the native ones of this processor are {native}")
    modes = [(name, threads) for threads in (1, 2) for name in KERNELS if name not in lacking]
    with ThreadPoolExecutor(2) as two:
        return 0 if all(list(two.map(lambda mode: run(*mode), modes))) else 1


if __name__ == "__main__":
    sys.exit(main())
