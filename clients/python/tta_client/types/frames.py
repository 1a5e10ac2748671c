"""Images and frames, and their messages."""

from __future__ import annotations

import errno
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ..errors import blame_field, make_refusal
from ..v1 import tta_pb2
from .labels import Labels, parse_labels
from .limits import UNLIMITED, Limits
from .options import Options, make_options_message
from .pixels import SampleDepth, to_pixels
from .values import parse_number, parse_unsigned


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings of an image's views, made on this machine: `rows` [v, d] float32, row 0 the plain view.

    `model` is the `model_fingerprint` of `ServerInfo`; the service refuses the features of any other model.
    """

    rows: Any
    model: str


Image = bytes | os.PathLike[str] | Features | Any
"""The bytes or the path of a JPEG, PNG or WebP file; a PIL image; an array, [h, w, 3] RGB, [h, w, 4] RGBA, [h, w, 1] or
[h, w] gray; or features."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a camera. `frame_id` must increase within a stream.

    The answer's age is measured from `captured` (monotonic seconds). `wall_ns` is the camera's clock (nanoseconds);
    the service echoes it. `options` and `labels` replace the stream's for this frame alone. `scene` names what the
    camera looks at; it is not sent, and comes back with the answer. `position` is the frame's time in its recording
    (seconds; None: there is none), and is not sent either.
    """

    frame_id: int
    image: Image
    captured: float = field(default_factory=time.monotonic)
    wall_ns: int = field(default_factory=time.time_ns)
    options: Options | None = None
    labels: Labels | None = None
    scene: str = ""
    position: float | None = None


def close_source(frames: Any) -> None:
    """Closes an iterator that can be closed, so that a generator releases its device at once."""
    if callable(close := getattr(frames, "close", None)):
        close()


@contextmanager
def open_frames(frames: Iterable[Frame]) -> Iterator[Iterator[Frame]]:
    """An iterator over the frames, which is closed after the block."""
    source = iter(frames)
    try:
        yield source
    finally:
        close_source(source)


class FrameNumbers:
    """Makes frames of a source's items. An item that is no `Frame` gets the next id and is captured now."""

    def __init__(self) -> None:
        self.last = -1

    def make_frame(self, picture: Any) -> Frame:
        """Raises `Refused` for an id that does not increase, and for a wrong capture time or wrong labels."""
        frame = picture if isinstance(picture, Frame) else Frame(max(self.last, 0) + 1, picture)
        number = parse_unsigned(frame.frame_id, "frame.frame_id")
        if number <= self.last:
            raise make_refusal(f"frame {number} comes after frame {self.last}; ids must increase", "frame.frame_id")
        frame = replace(frame, frame_id=number, captured=parse_number(frame.captured, "frame.captured"))
        with blame_field("frame.labels"):
            if frame.labels is not None:
                frame = replace(frame, labels=parse_labels(frame.labels))
        self.last = number
        return frame


def measure_age(frame: Any) -> float:
    """Seconds since its capture; NaN when the frame does not say."""
    try:
        return time.monotonic() - float(frame.captured)
    except Exception:  # `captured` may be anything that the caller put there
        return math.nan


def make_image_message(
    image: Image, path: str = "image", limits: Limits = UNLIMITED, depth: SampleDepth | None = None
) -> tta_pb2.Image:
    """An image for the field at `path`. Raises `Refused`, naming a field, for what cannot be read or is too large."""
    with blame_field(path):
        if isinstance(image, Features):
            return tta_pb2.Image(features=_make_features_message(image))
        if isinstance(image, str | os.PathLike):
            image = read_file(Path(image), partial(limits.check_encoded, path=path))
        if isinstance(image, bytes | bytearray | memoryview):
            encoded = bytes(image)
            limits.check_encoded(len(encoded), path)
            return tta_pb2.Image(encoded=encoded)
        array = to_pixels(image, depth)
        (height, width), colours = array.shape[:2], len(array.shape) == 3
        limits.check_raw(width, height, 3 if colours else 1, path)
        kind = tta_pb2.RawImage.FORMAT_RGB24 if colours else tta_pb2.RawImage.FORMAT_GRAY8
        return tta_pb2.Image(raw=tta_pb2.RawImage(width=width, height=height, format=kind, pixels=array.tobytes()))


def read_file(file: Path, check_size: Callable[[int], None] = lambda size: None) -> bytes:
    """The bytes of a regular file; OSError for anything else, as a pipe may block and a device may never end."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a file", str(file))
    check_size(found.st_size)
    return file.read_bytes()


def _make_features_message(features: Features) -> tta_pb2.Features:
    rows = features.rows
    if getattr(rows, "ndim", 0) != 2 or str(rows.dtype) != "float32":
        raise ValueError("features are a float32 array [views, dimension]")
    little = rows.astype("<f4", order="C", copy=False)
    return tta_pb2.Features(views=rows.shape[0], dimension=rows.shape[1], values=little.tobytes(), model=features.model)


def make_frame_message(
    frame: Frame, label_set_id: str, limits: Limits, depth: SampleDepth
) -> tta_pb2.ClassifyStreamRequest:
    """A frame of a stream; without `label_set_id` it has the stream's labels. Raises `Refused`, naming the field."""
    message = tta_pb2.Frame(frame_id=frame.frame_id)
    message.image.CopyFrom(make_image_message(frame.image, "frame.image", limits, depth))
    with blame_field("frame.capture_time"):
        seconds, nanos = divmod(int(frame.wall_ns), 1_000_000_000)
        message.capture_time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
        message.capture_time.ToNanoseconds()  # raises ValueError for years that a timestamp cannot express
    if label_set_id:
        message.labels.id = label_set_id
    if frame.options is not None:
        message.options.CopyFrom(make_options_message(frame.options, "frame.options"))
    request = tta_pb2.ClassifyStreamRequest(frame=message)
    limits.check_message(request, "frame")
    return request
