"""Runs the image tower by ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from .onnx_export import write_onnx

PRECISIONS = ("float32", "int8")  # its half-precision kernels convert to float32 and back


def start(forward: Callable[[Tensor], Tensor], blank: Tensor, precision: str) -> Callable[[Tensor], Tensor]:
    """The exported forward as a session with as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other threads use these cores too
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.onnx"
        write_onnx(forward, blank, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()

    def run(pixels: Tensor) -> Tensor:
        (features,) = session.run([result.name], {source.name: pixels.contiguous().numpy()})
        return torch.from_numpy(features)

    return run
