"""The lessons of a session in a snapshot: JSON, and one tensor of all features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.errors import BadRequest
from ...core.labels import LabelSet
from ...core.lessons import Example, Lesson
from ...core.reducer import Reduction
from .memory_codec import decode_labels, decode_reduction, encode_labels, encode_reduction


def encode_lessons(lessons: Sequence[Lesson], last: int) -> tuple[dict[str, Any], Tensor]:
    """The lessons for JSON, and their features [n, d] float16, one or two rows each; `last` is the last number given.

    Needs a lesson at least.
    """
    spaces = {(one.example.labels, one.example.reduction): None for one in lessons}
    places = {space: place for place, space in enumerate(spaces)}
    header = {
        "last": last,
        "spaces": [[encode_labels(labels), encode_reduction(reduction)] for labels, reduction in spaces],
        "lessons": [
            {
                "number": lesson.number,
                "label": lesson.label,
                "space": places[example.labels, example.reduction],
                "rows": len(example.views),
                "id": example.id,
                "seen": example.seen,
                "frame_id": example.frame_id,
                "request_id": example.request_id,
            }
            for lesson in lessons
            for example in (lesson.example,)
        ],
    }
    return header, torch.cat([lesson.example.views for lesson in lessons])


def decode_lessons(header: Mapping[str, Any], views: Tensor) -> list[Lesson]:
    """The lessons that `encode_lessons` described. Raises `BadRequest` when rows are missing, and as `decode`."""
    spaces: list[tuple[LabelSet, Reduction | None]] = [
        (decode_labels(labels), decode_reduction(reduction)) for labels, reduction in header["spaces"]
    ]
    described: list[dict[str, Any]] = header["lessons"]
    if sum(one["rows"] for one in described) != len(views):
        raise BadRequest("the lessons in this snapshot do not have their features", "state")
    lessons, first = list[Lesson](), 0
    for one in described:
        space: int = one["space"]
        (labels, reduction), rows = spaces[space], views[first : first + one["rows"]].clone()
        example = Example(one["id"], rows, labels, reduction, one["seen"], one["frame_id"], one["request_id"])
        lessons.append(Lesson(one["number"], example, one["label"]))
        first += one["rows"]
    return lessons
