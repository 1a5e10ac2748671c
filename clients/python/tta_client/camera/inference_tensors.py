"""Pictures as tensors of the Open Inference Protocol, and its tensors as answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from ..types.answers import Answer, Score, SessionStatus, Timings
from ..types.options import Choice
from ..v1 import open_inference_pb2 as oip
from .extras import import_package
from .pictures import decode_picture

SCALES = {"UINT8": 1.0, "FP32": 255.0, "FP16": 255.0}  # pixels are divided by it
TYPES = {"UINT8": "u1", "FP32": "<f4", "FP16": "<f2"}
LENGTH = struct.Struct("<I")  # before each element of BYTES


def takes_pictures(datatype: str, shape: list[int]) -> bool:
    """Whether an input of that kind takes the files of pictures, or their coloured pixels."""
    return datatype == "BYTES" or (datatype in SCALES and _layout(shape) is not None)


def make_tensor(jpeg: bytes, datatype: str, shape: list[int]) -> tuple[list[int], bytes]:
    """The shape and the bytes of a picture for an input of that kind, where -1 stands for any. Raises ValueError."""
    if datatype == "BYTES":
        return [1] * len(shape), LENGTH.pack(len(jpeg)) + jpeg
    cv2 = import_package("cv2", "OpenCV", "a model that takes pixels")
    channels_first, height, width = _layout(shape) or (False, 0, 0)
    pixels = decode_picture(jpeg, cv2.IMREAD_COLOR)[:, :, ::-1]
    if height > 0 and width > 0:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    pixels = (pixels / SCALES[datatype]).astype(TYPES[datatype])
    pixels = pixels.transpose(2, 0, 1) if channels_first else pixels
    return [*[1] * (len(shape) - 3), *pixels.shape], pixels.tobytes()


def _layout(shape: list[int]) -> tuple[bool, int, int] | None:
    """Whether channels come first, height and width; -1: any. None for a shape that holds no coloured pictures."""
    if len(shape) < 3:
        return None
    if shape[-1] == 3:
        return False, shape[-3], shape[-2]
    return (True, shape[-2], shape[-1]) if shape[-3] == 3 else None


def read_answer(reply: oip.ModelInferResponse) -> Answer:
    """What the reply says, as far as an `Answer` can hold it."""
    tensors = {output.name: _read(output, raw) for output, raw in zip(reply.outputs, reply.raw_output_contents)}
    parameters = {
        name: getattr(one, one.WhichOneof("parameter_choice") or "", None) for name, one in reply.parameters.items()
    }
    first = next(iter(tensors.values()), [])
    top = _named(tensors, "") or _classes(first) or (Score(_describe(reply), math.nan, math.nan, 0),)
    session = SessionStatus("", "", int(parameters.get("session_frames") or 0), 0, False, 0)
    strategy, views = str(parameters.get("strategy") or reply.model_name), int(parameters.get("views") or 0)
    return Answer(
        top,
        _named(tensors, "zero_shot_"),
        math.nan,
        Choice(strategy),
        Choice(""),
        views,
        Timings(),
        0,
        session,
        None,
        False,
        None,
        "",
        reply.id,
        reply.model_name,
    )


def _named(tensors: Mapping[str, list[Any]], prefix: str) -> tuple[Score, ...]:
    """The outputs `label` and `score` of this service."""
    labels, scores = tensors.get(f"{prefix}label", []), tensors.get(f"{prefix}score", [])
    return tuple(Score(str(label), score, math.nan, place) for place, (label, score) in enumerate(zip(labels, scores)))


def _classes(elements: list[Any]) -> tuple[Score, ...]:
    """The texts "score:index" or "score:index:label" of the classification extension."""
    found = [element.split(":", 2) for element in elements if isinstance(element, str) and element.count(":")]
    return tuple(
        Score(rest[1] if rest[1:] else rest[0], float(score), math.nan, int(rest[0])) for score, *rest in found
    )


def _describe(reply: oip.ModelInferResponse) -> str:
    return ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in reply.outputs)


def _read(output: oip.ModelInferResponse.InferOutputTensor, raw: bytes) -> list[Any]:
    """The elements of a tensor of texts or numbers, in row-major order; none of other types."""
    if output.datatype == "BYTES":
        elements, at = list[Any](), 0
        while at < len(raw):
            (size,) = LENGTH.unpack_from(raw, at)
            at += LENGTH.size + size
            elements.append(raw[at - size : at].decode(errors="replace"))
        return elements
    return list(struct.unpack(f"<{len(raw) // 4}f", raw)) if output.datatype == "FP32" else []


def set_parameter(parameter: oip.InferParameter, value: Any) -> None:
    for kind, field in ((bool, "bool_param"), (int, "int64_param"), (float, "double_param")):
        if isinstance(value, kind):
            return setattr(parameter, field, value)
    parameter.string_param = str(value)
