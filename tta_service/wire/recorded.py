"""Recorded examples: pictures as sessions remember them, on their way to another session or server."""

from __future__ import annotations

import re
import time

import numpy as np
import torch

from ..core.errors import BadImage, BadRequest
from ..core.labels import LabelSet
from ..core.lessons import Example
from ..images.headers import read_header
from .field_paths import field_prefix
from .options import parse_reduction
from .requests import read_rows
from .responses import make_reduction
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb
from .well_known import to_timestamp

EXAMPLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
WIDEST = 8192  # features of any model
LARGEST = 1 << 20  # bytes of a thumbnail
AHEAD = 3600.0  # seconds by which another site's clock may be fast
ROUNDING = 0.002  # what half precision changes of a norm: such rows are taken as they are, so that copies are equal


def parse_recorded(message: pb.RecordedExample, labels: LabelSet, server_info: ServerInfo) -> Example:
    """The example in a message, set apart if its features are of another model.

    Raises `TTAError` with a field relative to the message.
    """
    if not EXAMPLE_ID.fullmatch(message.example_id):
        raise BadRequest("an example id is 1 to 128 of the characters A-Z a-z 0-9 . _ : -", "example_id")
    reduction = None
    if message.HasField("reduction"):
        reduction = parse_reduction(message.reduction, server_info, "reduction")
    with field_prefix("features"):
        views = _parse_views(message.features, server_info)
    model, seen = message.features.model, _parse_seen(message)
    return Example(
        message.example_id,
        views,
        labels,
        reduction,
        seen,
        thumbnail=_parse_thumbnail(message.thumbnail),
        other_model="" if model == server_info.fingerprint else model,
    )


def make_recorded(example: Example, server_info: ServerInfo) -> pb.RecordedExample:
    """All that another session needs to learn from the example."""
    views, dimension = example.views.shape
    message = pb.RecordedExample(
        example_id=example.id,
        features=pb.Features(
            views=views,
            dimension=dimension,
            values=example.views.float().numpy().astype("<f4").tobytes(),
            model=example.other_model or server_info.fingerprint,
        ),
        seen=to_timestamp(example.seen),
        thumbnail=example.thumbnail,
    )
    if example.reduction is not None:
        message.reduction.CopyFrom(make_reduction(example.reduction))
    return message


def _parse_views(message: pb.Features, server_info: ServerInfo) -> torch.Tensor:
    """[1 or 2, d] float16 of unit norm."""
    if not 1 <= len(message.model) <= 128:
        raise BadImage("of which model are these features? its fingerprint has 1 to 128 characters", "model")
    if message.model == server_info.fingerprint and message.dimension != server_info.dimension:
        raise BadImage(f"dimension is {message.dimension}; the model's is {server_info.dimension}", "dimension")
    if not 1 <= message.dimension <= WIDEST:
        raise BadImage(f"dimension is {message.dimension}; it must be 1 to {WIDEST}", "dimension")
    if not 1 <= message.views <= 2:
        raise BadImage(f"views is {message.views}; it must be 1, or 2 with the mean of the confident ones", "views")
    rows, norms = read_rows(message)
    return torch.as_tensor(rows / np.where(abs(norms - 1) < ROUNDING, 1.0, norms)).half()


def _parse_seen(message: pb.RecordedExample) -> float:
    """Unix seconds; now if there are none."""
    now = time.time()
    if not 0 <= message.seen.nanos < 1e9:
        raise BadRequest(f"nanos is {message.seen.nanos}; it must be 0 to 999999999", "seen.nanos")
    seen = message.seen.seconds + message.seen.nanos / 1e9 if message.HasField("seen") else now
    if seen < 0:
        raise BadRequest("a picture cannot have been seen before 1970", "seen")
    if seen > now + AHEAD:
        raise BadRequest(f"a picture cannot have been seen {seen - now:.0f} s from now", "seen")
    return seen


def _parse_thumbnail(data: bytes) -> bytes:
    if len(data) > LARGEST:
        raise BadImage(f"the thumbnail has {len(data)} bytes, at most {LARGEST} are allowed", "thumbnail")
    with field_prefix("thumbnail", whole=True):
        if data and read_header(data).format != "JPEG":
            raise BadImage("a thumbnail is a JPEG file", "thumbnail")
    return data
