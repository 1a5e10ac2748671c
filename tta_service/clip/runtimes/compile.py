"""torch.compile: the forward as C++ or GPU kernels that are generated at start. Needs a compiler on this machine.

There is a graph for one row and at least one for several rows, because a graph with a dynamic number of rows excludes
one. On a GPU the kernels are launched as CUDA graphs.
"""

from __future__ import annotations

import os
import shutil
import types
from collections.abc import Callable

import torch
from torch import Tensor

from .. import CannotLoad
from ..image.encoder import layout_of
from . import cudagraphs as runtime_cudagraphs

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
COMPILERS = ("gcc", "g++", "clang", "clang++")  # Triton, which generates GPU kernels, compiles launchers in C
ROW_COUNTS = (1, 2, 8, 64)  # compiled at start: few and many rows may need different graphs


def start(forward: Callable[[Tensor], Tensor], blank: Tensor, precision: str) -> Callable[[Tensor], Tensor]:
    """The compiled forward, already compiled for one row and for several."""
    on_gpu = blank.device.type == "cuda"
    named = [os.environ.get("CC" if on_gpu else "CXX", "g++")]
    if not any(shutil.which(name) for name in (*named, *(COMPILERS if on_gpu else COMPILERS[1::2]))):
        kind = "C" if on_gpu else "C++"
        raise CannotLoad(f"compile needs a {kind} compiler (Debian: apt-get install g++)", "runtime")
    run = torch.compile(copy_code(forward), dynamic=True)
    if on_gpu:
        return runtime_cudagraphs.start(run, blank, precision)

    with torch.no_grad():
        for rows in ROW_COUNTS:
            run(blank.expand(rows, -1, -1, -1).contiguous(memory_format=layout_of(blank)))
    return run


def copy_code(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A copy of the function with its own code object.

    torch caches at most eight graphs per code object. The forwards of all reducers share one, so without the copy later
    ones would silently run uncompiled.
    """
    if not isinstance(forward, types.FunctionType):
        return forward
    code = forward.__code__.replace()
    own = types.FunctionType(code, forward.__globals__, forward.__name__, forward.__defaults__, forward.__closure__)
    own.__kwdefaults__ = forward.__kwdefaults__
    return own
