"""CUDA graphs: the forward of a fixed number of rows is recorded once and then launched as a whole.

A vision transformer has hundreds of kernels. For few rows, launching them from Python takes longer than running them.
No compiler is needed. There is one graph for each size of `compiled.SIZES`, all in one memory pool: they run one at a
time, and each result is copied before the next graph starts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import CannotLoad
from ..image.compiled import sizes_on
from ..image.encoder import layout_of

PRECISIONS = ("float32", "bfloat16", "float16")
WARM = 3  # runs before the recording, in which libraries may not choose kernels or allocate memory
Run = Callable[[Tensor], Tensor]
Record = Callable[
    [Run, Tensor], tuple[Tensor, Callable[[], object]]
]  # -> the output buffer, and a function that fills it again


def start(forward: Run, blank: Tensor, precision: str) -> Run:
    """The forward, recorded for every size of `compiled.SIZES`. Raises `CannotLoad` on other devices than CUDA."""
    if blank.device.type != "cuda":
        raise CannotLoad(f"cudagraphs is for CUDA devices; on {blank.device.type} take eager or compile", "runtime")
    pool = torch.cuda.graph_pool_handle()
    return replay(forward, blank, sizes_on(blank.device), lambda run, pixels: record_graph(run, pixels, pool))


def replay(forward: Run, blank: Tensor, sizes: tuple[int, ...], record: Record) -> Run:
    """`forward` for pixels [b, 3, s, s] where b is one of `sizes`. Thread-safe; calls run one at a time.

    The largest size is recorded first, so that the others reuse its memory in the pool.
    """
    layout = layout_of(blank)
    inputs = {rows: torch.zeros_like(blank.expand(rows, -1, -1, -1), memory_format=layout) for rows in sizes}
    graphs = {rows: record(forward, inputs[rows]) for rows in sorted(sizes, reverse=True)}
    lock = threading.Lock()

    def run(pixels: Tensor) -> Tensor:
        rows = len(pixels)
        with lock:
            inputs[rows].copy_(pixels)
            features, launch = graphs[rows]
            launch()
            return features.clone()  # the next launch overwrites it

    return run


@torch.no_grad()
def record_graph(forward: Run, pixels: Tensor, pool: Any) -> tuple[Tensor, Callable[[], object]]:
    """Record a graph that reads the buffer `pixels` and allocates in `pool`, a handle of torch: output, launcher."""
    with torch.cuda.device(pixels.device):
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM):
                forward(pixels)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # other threads may use CUDA
            features = forward(pixels)
    return features, graph.replay
