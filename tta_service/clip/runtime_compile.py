"""torch.compile: the forward as C++ or GPU kernels that it writes at start. Needs a compiler on this machine.

Two graphs, one row and several: a compiled graph of any number of rows leaves out the case of one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from .hub import CannotLoad

PRECISIONS = ("float32", "bfloat16", "float16", "int8")


def start(forward: Callable[[Tensor], Tensor], blank: Tensor, precision: str) -> Callable[[Tensor], Tensor]:
    """The compiled forward, already compiled for one row and for several."""
    on_gpu = blank.device.type == "cuda"
    if not on_gpu and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        raise CannotLoad("compile needs a C++ compiler (Debian: apt-get install g++)", "runtime")
    # Kernels of a GPU are fast to launch from a graph of their own, which fixes the number of rows.
    run = torch.compile(forward, dynamic=not on_gpu, mode="reduce-overhead" if on_gpu else None)

    @torch.no_grad()
    def copied(pixels: Tensor) -> Tensor:
        return run(pixels).clone()  # a graph's output is its own buffer, which the next run overwrites

    for rows in (1, 2, 8, 64):  # one graph may not do for few and many
        copied(blank.expand(rows, -1, -1, -1).contiguous(memory_format=_layout(blank)))
    return copied


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
