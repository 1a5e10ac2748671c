"""CUDA graphs: the forward of a fixed number of rows, recorded once, is launched whole.

A vision transformer is hundreds of kernels, and Python needs longer to launch them than a GPU to run them on few rows.
Needs no compiler. One graph for each size of `buckets`, all in one pool of memory: they run one after the other, and
what a graph computes is copied out before the next one may begin.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import CannotLoad
from ..image.row_buckets import sizes_on

PRECISIONS = ("float32", "bfloat16", "float16")
WARM = 3  # runs before the recording: libraries choose kernels and take memory, which no recording may do
Run = Callable[[Tensor], Tensor]
Record = Callable[[Run, Tensor], tuple[Tensor, Callable[[], object]]]  # -> where results will lie, and how to run again


def start(forward: Run, blank: Tensor, precision: str) -> Run:
    """The forward, already recorded for every number of rows that it will be asked for."""
    if blank.device.type != "cuda":
        raise CannotLoad(f"cudagraphs is for CUDA devices; on {blank.device.type} take eager or compile", "runtime")
    pool = torch.cuda.graph_pool_handle()
    return replay(forward, blank, sizes_on(blank.device), lambda run, pixels: record_graph(run, pixels, pool))


def replay(forward: Run, blank: Tensor, sizes: tuple[int, ...], record: Record) -> Run:
    """`forward` for pixels [b, 3, s, s] where b is one of `sizes`; the largest is recorded first, so that the others
    find memory in the pool. From any thread, one at a time."""
    layout = torch.channels_last if blank.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    given = {rows: torch.zeros_like(blank.expand(rows, -1, -1, -1), memory_format=layout) for rows in sizes}
    made = {rows: record(forward, given[rows]) for rows in sorted(sizes, reverse=True)}
    busy = threading.Lock()

    def run(pixels: Tensor) -> Tensor:
        rows = len(pixels)
        with busy:
            given[rows].copy_(pixels)
            features, again = made[rows]
            again()
            return features.clone()  # the next run overwrites it

    return run


@torch.no_grad()
def record_graph(forward: Run, pixels: Tensor, pool: Any) -> tuple[Tensor, Callable[[], object]]:
    """A graph that reads `pixels` where they lie, its memory in `pool`, a handle of torch's."""
    with torch.cuda.device(pixels.device):
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(WARM):
                forward(pixels)
        here.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # what others do is no concern
            features = forward(pixels)
    return features, graph.replay
