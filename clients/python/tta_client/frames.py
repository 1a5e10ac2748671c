"""A picture on its way to the service."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from .choices import Options, options_message
from .labels import Labels
from .v1 import tta_pb2


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings of the views of a picture, made on this machine: `rows` [v, d] float32, row 0 the plain view.

    `model` is the fingerprint that `ServerInfo` tells: features of another model mean something else.
    """

    rows: Any
    model: str


Image = bytes | os.PathLike[str] | Features | Any
"""Bytes of a JPEG, PNG or WebP file; a path of one; an array of uint8, [h, w, 3] RGB or [h, w] gray; or features."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera. `frame_id` must increase within a stream.

    `captured` (monotonic seconds) is what the age of the answer is measured from; `wall_ns` is the camera's clock,
    sent along and echoed. `options` and `labels` replace the stream's for this frame alone. `scene` stays here: what
    the camera looks at, if it knows.
    """

    frame_id: int
    image: Image
    captured: float = field(default_factory=time.monotonic)
    wall_ns: int = field(default_factory=time.time_ns)
    options: Options | None = None
    labels: Labels | None = None
    scene: str = ""


def let_go(frames: Any) -> None:
    """Close what was iterated: a generator lets its device go at once, not when it is collected."""
    if callable(close := getattr(frames, "close", None)):
        close()


def image_message(image: Image) -> tta_pb2.Image:
    """Raises ValueError for an array that is no picture."""
    if isinstance(image, bytes | bytearray | memoryview):
        return tta_pb2.Image(encoded=bytes(image))
    if isinstance(image, str | os.PathLike):
        return tta_pb2.Image(encoded=Path(image).read_bytes())
    if isinstance(image, Features):
        return tta_pb2.Image(features=_features_message(image))
    shape: Any = tuple(getattr(image, "shape", ()))
    dtype = str(getattr(image, "dtype", type(image).__name__))
    if dtype != "uint8" or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise ValueError(
            f"an image is file bytes, a path or a uint8 array [h, w, 3] or [h, w], not {dtype} {list(shape)}"
        )
    kind = tta_pb2.RawImage.FORMAT_RGB24 if len(shape) == 3 else tta_pb2.RawImage.FORMAT_GRAY8
    return tta_pb2.Image(raw=tta_pb2.RawImage(width=shape[1], height=shape[0], format=kind, pixels=image.tobytes()))


def _features_message(features: Features) -> tta_pb2.Features:
    rows = features.rows
    if getattr(rows, "ndim", 0) != 2 or str(rows.dtype) != "float32":
        raise ValueError("features are a float32 array [views, dimension]")
    little = rows.astype("<f4", order="C", copy=False)
    return tta_pb2.Features(views=rows.shape[0], dimension=rows.shape[1], values=little.tobytes(), model=features.model)


def frame_message(frame: Frame, label_set_id: str = "") -> tta_pb2.ClassifyStreamRequest:
    seconds, nanos = divmod(frame.wall_ns, 1_000_000_000)
    message = tta_pb2.Frame(
        frame_id=frame.frame_id,
        image=image_message(frame.image),
        capture_time=Timestamp(seconds=seconds, nanos=nanos),
    )
    if label_set_id:
        message.labels.id = label_set_id
    if frame.options is not None:
        message.options.CopyFrom(options_message(frame.options))
    return tta_pb2.ClassifyStreamRequest(frame=message)
