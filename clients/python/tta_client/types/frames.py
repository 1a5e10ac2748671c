"""A picture on its way to the service."""

from __future__ import annotations

import math
import os
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ..errors import blame_field, make_refusal
from ..v1 import tta_pb2
from .labels import Labels, parse_labels
from .limits import UNLIMITED, Limits
from .options import Options, make_options_message
from .pixels import to_pixels
from .values import parse_unsigned


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings of the views of a picture, made on this machine: `rows` [v, d] float32, row 0 the plain view.

    `model` is the fingerprint that `ServerInfo` tells: features of another model mean something else.
    """

    rows: Any
    model: str


Image = bytes | os.PathLike[str] | Features | Any
"""Bytes of a JPEG, PNG or WebP file; a path of one; a PIL image; an array, [h, w, 3] RGB, [h, w, 4] RGBA, [h, w, 1] or
[h, w] gray; or features."""


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


def close_source(frames: Any) -> None:
    """Close what was iterated: a generator lets its device go at once, not when it is collected."""
    if callable(close := getattr(frames, "close", None)):
        close()


class FrameNumbers:
    """Makes frames of what the source gives: ids increase, and what has none gets the next one, captured now."""

    def __init__(self) -> None:
        self.last = -1

    def make_frame(self, picture: Any) -> Frame:
        """Raises `Refused` for what has no place in the order of the frames, or in time."""
        frame = picture if isinstance(picture, Frame) else Frame(max(self.last, 0) + 1, picture)
        number = parse_unsigned(frame.frame_id, "frame.frame_id")
        if number <= self.last:
            raise make_refusal(f"frame {number} comes after frame {self.last}; ids must increase", "frame.frame_id")
        with blame_field("frame.captured"):
            frame = replace(frame, frame_id=number, captured=float(frame.captured))
        with blame_field("frame.labels"):
            if frame.labels is not None:
                frame = replace(frame, labels=parse_labels(frame.labels))
        self.last = number
        return frame


def measure_age(frame: Any) -> float:
    """Seconds since its capture, NaN when nobody knows."""
    try:
        return time.monotonic() - float(frame.captured)
    except Exception:  # whatever the caller wrote there
        return math.nan


def make_image_message(image: Image, path: str = "image", limits: Limits = UNLIMITED) -> tta_pb2.Image:
    """Raises `Refused`, which names a field at `path`, for what is no picture, cannot be read or is too large."""
    with blame_field(path):
        if isinstance(image, Features):
            return tta_pb2.Image(features=_make_features_message(image))
        if isinstance(image, str | os.PathLike):
            image = _read(Path(image), limits, path)
        if isinstance(image, bytes | bytearray | memoryview):
            encoded = bytes(image)
            limits.check_encoded(len(encoded), path)
            return tta_pb2.Image(encoded=encoded)
        array = to_pixels(image)
        (height, width), colours = array.shape[:2], len(array.shape) == 3
        limits.check_raw(width, height, 3 if colours else 1, path)
        kind = tta_pb2.RawImage.FORMAT_RGB24 if colours else tta_pb2.RawImage.FORMAT_GRAY8
        return tta_pb2.Image(raw=tta_pb2.RawImage(width=width, height=height, format=kind, pixels=array.tobytes()))


def _read(file: Path, limits: Limits, path: str) -> bytes:
    """Neither a pipe, which nobody may ever fill, nor more than may be sent."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise make_refusal(f"{file}: is not a file", path)
    limits.check_encoded(found.st_size, path)
    return file.read_bytes()


def _make_features_message(features: Features) -> tta_pb2.Features:
    rows = features.rows
    if getattr(rows, "ndim", 0) != 2 or str(rows.dtype) != "float32":
        raise ValueError("features are a float32 array [views, dimension]")
    little = rows.astype("<f4", order="C", copy=False)
    return tta_pb2.Features(views=rows.shape[0], dimension=rows.shape[1], values=little.tobytes(), model=features.model)


def make_frame_message(
    frame: Frame, label_set_id: str = "", limits: Limits = UNLIMITED
) -> tta_pb2.ClassifyStreamRequest:
    """Raises `Refused`, which names the field, for a frame that cannot be sent."""
    message = tta_pb2.Frame(frame_id=frame.frame_id)
    message.image.CopyFrom(make_image_message(frame.image, "frame.image", limits))
    with blame_field("frame.capture_time"):
        seconds, nanos = divmod(int(frame.wall_ns), 1_000_000_000)
        message.capture_time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
    if label_set_id:
        message.labels.id = label_set_id
    if frame.options is not None:
        message.options.CopyFrom(make_options_message(frame.options, "frame.options"))
    request = tta_pb2.ClassifyStreamRequest(frame=message)
    limits.check_message(request, "frame")
    return request
