"""The image tower as one file for a device without torch, which the client's camera runs (`camera/edge.py`).

It is an ONNX graph from uint8 views [v, 3, s, s] to unit features [v, d], whose metadata hold what the device must know
to cut the service's own views: the strategies' needs and the constants of the crops.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..clip import CannotLoad
from ..clip.model import FrozenCLIP
from ..core.catalogue import Catalogue
from ..core.strategy import Strategy
from ..images import random_crops, views

FORMAT = 1
KEY = "tta-edge"
ALIKE = 0.999  # least mean cosine of features that stand for those of the service


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: bytes, and how near its features are to the model's own, over `rows` random views."""

    size: int
    cosine: float  # the mean
    rows: int


def export_edge(clip: FrozenCLIP, strategies: Catalogue[Strategy[Any]], path: Path, *, int8: bool = False) -> Exported:
    """Write the tower of an eager float32 model on the CPU, loaded as `exportable`.

    `int8` stores the weights of its products in a quarter. The file has the fingerprint of `clip`, so a service with
    that model takes its features. Raises `CannotLoad` for another configuration and for a model that cannot be
    exported, OSError for a file that cannot be written.
    """
    config = clip.config
    if (config.precision, config.runtime, config.exportable, clip.device.type) != ("float32", "eager", True, "cpu"):
        raise CannotLoad("a tower for devices is made of a model on the CPU in float32 and eager", "precision")
    try:
        import onnx

        from ..clip.runtimes.onnx_export import write_onnx
    except ImportError as error:
        raise CannotLoad(f"export-edge needs `pip install '.[runtime]'` in a checkout: {error}", "runtime") from None
    size = clip.image_size
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "tower.onnx"
        try:
            write_onnx(clip.encode_image, torch.zeros(1, 3, size, size, dtype=torch.uint8), whole)
        except Exception as error:  # exporters raise many types
            raise CannotLoad(
                f"{clip.name} cannot be exported: {' '.join(str(error).split())[:300]}", "model"
            ) from error
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            whole, small = _fold_constants(whole), Path(folder) / "int8.onnx"
            quantize_dynamic(
                whole, small, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
            )
            whole = small
        model = onnx.load(whole)
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, json.dumps(_describe(clip, strategies, "int8" if int8 else "float32"))
        try:
            onnx.save(model, path)
        except ValueError as error:  # protobuf's bound of 2 GB
            raise CannotLoad(f"{clip.name} is too large for one file: {error}", "model") from error
    return _compare(clip, path)


def _fold_constants(path: Path) -> Path:
    """The same graph with weights as its products take them: transposed, which is what a quantiser looks for."""
    import onnxruntime

    options, folded = onnxruntime.SessionOptions(), path.with_name("folded.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return folded


def _describe(clip: FrozenCLIP, strategies: Catalogue[Strategy[Any]], precision: str) -> dict[str, Any]:
    needs = dict[str, Any]()
    for name in strategies.names():
        need, own = strategies.build(name, {}).needs(), {one.name for one in strategies.describe(name).parameters}
        needs[name] = {
            "views": need.views,
            "augment": need.augment,
            "parameters": sorted(own & {"views", "augment", "of"}),
        }
    return {
        "format": FORMAT,
        "model": clip.name,
        "fingerprint": clip.fingerprint,
        "precision": precision,
        "size": clip.image_size,
        "needs": needs,
        "crops": {
            "area": random_crops.AREA,
            "ratio": random_crops.RATIO,
            "attempts": random_crops.ATTEMPTS,
            "longest": views.LONGEST,
            "squares": views.SQUARES,
        },
    }


def _compare(clip: FrozenCLIP, path: Path, rows: int = 16) -> Exported:
    """Of smooth random pictures, which are nearer to photographs than noise is."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    coarse = torch.rand(rows, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    pixels = torch.nn.functional.interpolate(coarse, size=(clip.image_size,) * 2, mode="bicubic").clamp(0, 255).byte()
    (found,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    cosine = float((np.asarray(found) * clip.encode_image(pixels).numpy()).sum(-1).mean())
    return Exported(path.stat().st_size, cosine, rows)
