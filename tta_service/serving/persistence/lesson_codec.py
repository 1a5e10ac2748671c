"""The lessons of a session in a snapshot: JSON, one tensor of all features and one of all thumbnails."""

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


def encode_lessons(lessons: Sequence[Lesson], last: int, model: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The lessons for JSON, and their features (float16) and thumbnails (uint8), one after the other.

    `last` is the last number given, `model` the fingerprint of this server's. Needs a lesson at least.
    """
    examples = [lesson.example for lesson in lessons]
    spaces = {(one.labels, one.reduction, one.other_model or model): None for one in examples}
    places = {space: place for place, space in enumerate(spaces)}
    header = {
        "last": last,
        "spaces": [[encode_labels(labels), encode_reduction(reduction), made] for labels, reduction, made in spaces],
        "lessons": [
            {
                "number": lesson.number,
                "label": lesson.label,
                "space": places[example.labels, example.reduction, example.other_model or model],
                "shape": list(example.views.shape),
                "thumbnail": len(example.thumbnail),
                "id": example.id,
                "seen": example.seen,
                "taught": lesson.taught,
                "frame_id": example.frame_id,
                "request_id": example.request_id,
            }
            for lesson, example in zip(lessons, examples, strict=True)
        ],
    }
    thumbnails = bytearray(b"".join(one.thumbnail for one in examples))
    return header, {
        "lessons": torch.cat([one.views.flatten() for one in examples]),
        "thumbnails": torch.frombuffer(thumbnails, dtype=torch.uint8)
        if thumbnails
        else torch.empty(0, dtype=torch.uint8),
    }


def decode_lessons(header: Mapping[str, Any], values: Mapping[str, Tensor], model: str) -> list[Lesson]:
    """The lessons that `encode_lessons` described, on a server with that `model`.

    Raises `BadRequest` when features are missing, and as `decode`.
    """
    spaces: list[tuple[LabelSet, Reduction | None, str]] = [
        (decode_labels(labels), decode_reduction(reduction), "" if made == model else str(made))
        for labels, reduction, made in header["spaces"]
    ]
    described: list[dict[str, Any]] = header["lessons"]
    try:
        features = torch.split(values["lessons"], [one["shape"][0] * one["shape"][1] for one in described])
        thumbnails = torch.split(values["thumbnails"], [one["thumbnail"] for one in described])
    except RuntimeError:
        raise BadRequest("the lessons in this snapshot do not have their features", "state") from None
    lessons = list[Lesson]()
    for one, views, thumbnail in zip(described, features, thumbnails, strict=True):
        place: int = one["space"]
        labels, reduction, other_model = spaces[place]
        example = Example(
            one["id"],
            views.reshape(one["shape"]).clone(),
            labels,
            reduction,
            one["seen"],
            one["frame_id"],
            one["request_id"],
            thumbnail.numpy().tobytes(),
            other_model,
        )
        lessons.append(Lesson(one["number"], example, one["label"], one.get("taught", one["seen"])))
    return lessons
