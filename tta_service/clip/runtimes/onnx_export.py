"""Exports a forward to an ONNX file, for any number of rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxscript import ir, opset18
from torch import Tensor, nn

op: Any = opset18  # its own types are stricter than a translation function's


class Forward(nn.Module):
    """A function of pixels as a module, which exporters require."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b, 3, s, s] to features [b, d]."""
        return self._run(pixels)


def _product_of_bytes(a, b):
    """int8 a [n, i] times b [i, o] to int32; a is shifted to uint8, for which x86 has instructions."""
    middle = op.Constant(value=ir.tensor(np.array(128, np.uint8)))
    moved = op.QuantizeLinear(op.Cast(a, to=ir.DataType.FLOAT), op.Constant(value_float=1.0), middle)
    return op.MatMulInteger(moved, b, middle)


def _sort(x, stable=True, dim: int = -1, descending: bool = False):
    """Values and indices by TopK, which ONNX defines as stable."""
    count = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
    return op.TopK(x, count, axis=dim, largest=int(descending), sorted=1)


# What torch's exporter lacks.
MISSING = {torch.ops.aten._int_mm.default: _product_of_bytes, torch.ops.aten.sort.stable: _sort}


@torch.no_grad()
def write_onnx(forward: Callable[[Tensor], Tensor], blank: Tensor, path: Path) -> None:
    """Trace `forward` on two rows like `blank` [1, 3, s, s] and write it to `path`, with weights in files beside it."""
    rows = torch.export.Dim("rows", min=1, max=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.export.export(
            Forward(forward), (blank.repeat(2, 1, 1, 1),), dynamic_shapes=({0: rows},), strict=False
        )
        torch.onnx.export(
            traced,
            f=path,
            dynamo=True,
            opset_version=18,
            external_data=True,
            optimize=False,  # it would convert constant bytes to floats; runtimes optimise the graph themselves
            verbose=False,
            custom_translation_table=MISSING,
        )
