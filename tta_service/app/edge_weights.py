"""Weights of an ONNX tower in few bytes: int8 where that costs least, half floats elsewhere. It computes in float32.

Which weights bear int8 differs by a factor of a hundred: those of the first convolution hardly do, those of the large
ones behind it hardly notice. So each is rounded alone, and what the features lose is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]

BUDGET = 1e-5  # mean distance, 1 - cosine, by which all int8 weights together may move features
LEAST = 512  # numbers of a weight that is worth it
LARGEST = 6e4  # that a half float holds


def shrink_weights(source: Path, target: Path, views: Array) -> None:
    """Write `source` with smaller weights to `target`. Losses are measured on `views` [n, 3, s, s] uint8."""
    model = onnx.load(source)
    weights = _find_weights(model.graph)
    chosen = _choose(_measure_losses(model, weights, views), {name: one.size for name, (one, _) in weights.items()})
    for name, (weight, axis) in weights.items():
        if name in chosen:
            whole, scale = _round(weight, axis)
            _replace(model.graph, name, whole, scale)
        elif np.abs(weight).max() < LARGEST:
            _replace(model.graph, name, weight.astype(np.float16), None)
    onnx.save(model, target)


def _find_weights(graph: Any) -> dict[str, tuple[Array, int]]:
    """The weights of products and convolutions by name, each with the axis of its outputs."""
    constants = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    found = dict[str, tuple[Array, int]]()
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and (constant := constants.get(node.input[1])) is not None:
            weight = numpy_helper.to_array(constant)
            turned = any(one.name == "transB" and one.i for one in node.attribute)
            if weight.size >= LEAST and weight.ndim > 1:
                found[constant.name] = weight, 0 if node.op_type == "Conv" or turned else weight.ndim - 1
    return found


def _measure_losses(model: Any, weights: dict[str, tuple[Array, int]], views: Array) -> dict[str, float]:
    """The mean distance to the features of `model` with one weight in int8, for each of them."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    for name, (weight, _) in weights.items():  # a constant that is an input, too, may be given anew for each run
        open_model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, weight.shape))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns that such constants are not folded
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pixels = {session.get_inputs()[0].name: views}
    features: Any = session.run(None, pixels)[0]

    def measure(weight: Array, axis: int, name: str) -> float:
        whole, scale = _round(weight, axis)
        moved: Any = session.run(None, pixels | {name: (whole * scale).astype(np.float32)})[0]
        return float(1 - (moved * features).sum(-1).mean())

    return {name: measure(weight, axis, name) for name, (weight, axis) in weights.items()}


def _choose(losses: dict[str, float], sizes: dict[str, int]) -> set[str]:
    """The weights with the least loss for each number, as many as the budget allows: small losses add up."""
    chosen, spent = set[str](), 0.0
    for name in sorted(losses, key=lambda name: losses[name] / sizes[name]):
        if spent + losses[name] <= BUDGET:
            chosen.add(name)
            spent += max(0.0, losses[name])
    return chosen


def _round(weight: Array, axis: int) -> tuple[Array, Array]:
    """int8, and the scales of the outputs along `axis`, in a shape with which they multiply."""
    others = tuple(place for place in range(weight.ndim) if place != axis)
    scale = np.maximum(np.abs(weight).max(others, keepdims=True) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _replace(graph: Any, name: str, stored: Array, scale: Array | None) -> None:
    """The weight as it is stored, and the nodes that make it float32 again: a runtime folds them when it loads.

    No DequantizeLinear, which ONNX Runtime computes again in each run.
    """
    graph.initializer.remove(next(one for one in graph.initializer if one.name == name))
    graph.initializer.append(numpy_helper.from_array(stored, f"{name}_stored"))
    cast = name if scale is None else f"{name}_cast"
    nodes = [helper.make_node("Cast", [f"{name}_stored"], [cast], to=TensorProto.FLOAT)]
    if scale is not None:
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        nodes.append(helper.make_node("Mul", [cast, f"{name}_scale"], [name]))
    for node in reversed(nodes):
        graph.node.insert(0, node)
