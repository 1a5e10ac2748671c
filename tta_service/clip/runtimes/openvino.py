"""Runs the image tower by OpenVINO on the CPU. Its int8 kernels quantise each token separately, in groups."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import openvino
import torch
from torch import Tensor

from .onnx_export import write_onnx

PRECISIONS = ("float32", "bfloat16", "int8")
GROUP = 64  # entries of a token that share a scale; divides the widths of vision transformers


def start(forward: Callable[[Tensor], Tensor], blank: Tensor, precision: str) -> Callable[[Tensor], Tensor]:
    """The exported forward, compiled for the CPU with as many threads as torch has."""
    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(GROUP if precision == "int8" else 0),
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # other threads use these cores too
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.onnx"
        write_onnx(forward, blank, path)
        compiled = core.compile_model(path, "CPU", options)
    request, lock = compiled.create_infer_request(), threading.Lock()

    def run(pixels: Tensor) -> Tensor:
        with lock:
            outputs = request.infer([pixels.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(outputs[0].copy())

    return run
