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
from ..clip.tuning import NAMES, compare_features, read_views
from ..core.catalogue import Catalogue
from ..core.labels import LabelSet
from ..core.strategy import Strategy
from ..images import random_crops, views

FORMAT = 1
KEY = "tta-edge"
COSINE, EQUAL = 0.999, 0.995  # least cosine, and share of equal answers, of features that stand for the service's


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: bytes, and how near its features are to the model's own, over `rows` views of photographs."""

    size: int
    cosine: float  # the least
    equal: float  # share of equal answers about twenty names
    rows: int

    @property
    def agrees(self) -> bool:
        """Whether its features may stand for those of the service."""
        return self.cosine >= COSINE and self.equal >= EQUAL


def export_edge(clip: FrozenCLIP, strategies: Catalogue[Strategy[Any]], path: Path, *, int8: bool = False) -> Exported:
    """Write the tower of an eager float32 model on the CPU, loaded as `exportable`.

    `int8` stores weights in a quarter or a half of their bytes. The file has the fingerprint of `clip`, so a service
    with that model takes its features. Raises `CannotLoad` for another configuration and for a model that cannot be
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
            from .edge_weights import shrink_weights

            whole, small = _fold_constants(whole), Path(folder) / "int8.onnx"
            shrink_weights(whole, small, read_views(size)[::4].numpy())
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
    """The same graph with weights as its products take them, transposed."""
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


def _compare(clip: FrozenCLIP, path: Path) -> Exported:
    """Of the photographs that come with the package, as they are, in little light, and with noise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    views, name = read_views(clip.image_size), session.get_inputs()[0].name
    noise = torch.randn(views.shape, generator=torch.Generator().manual_seed(0)) * 12
    lights = views, (views * 0.5).byte(), (views + noise).clamp(0, 255).byte()
    found = torch.cat([torch.from_numpy(np.asarray(session.run(None, {name: one.numpy()})[0])) for one in lights])
    own = torch.cat([clip.encode_image(one) for one in lights])
    answers = own @ clip.text_space(LabelSet(NAMES)).features.T * clip.scale
    return Exported(path.stat().st_size, *compare_features(found, own, answers, clip), len(own))
