"""What is taught, in JSON and tensors: lessons and questions of sessions with their features, and sums of sites."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.errors import BadRequest
from ...core.labels import LabelSet
from ...core.lesson_sums import LessonSums
from ...core.lessons import Example, Lesson, Question, Reason
from ...core.reducer import Reduction
from ...core.trust import Drawn
from .memory_codec import decode_labels, decode_reduction, encode_labels, encode_reduction

Content = tuple[dict[str, Any], dict[str, Tensor]]  # for JSON, and tensors by name


def encode_taught(lessons: Sequence[Lesson], last: int, questions: Sequence[Question], model: str) -> Content:
    """Lessons and questions, those of which there are; `last` and `model` as of `encode_lessons`."""
    header, values = dict[str, Any](), dict[str, Tensor]()
    if lessons:
        header["lessons"], tensors = encode_lessons(lessons, last, model)
        values |= tensors
    if questions:
        header["questions"], tensors = encode_questions(questions, model)
        values |= tensors
    return header, values


def decode_taught(
    header: Mapping[str, Any], values: Mapping[str, Tensor], model: str
) -> tuple[list[Lesson], list[Question]]:
    """What `encode_taught` described. Raises as `decode_lessons`."""
    lessons = decode_lessons(header["lessons"], values, model) if "lessons" in header else []
    return lessons, decode_questions(header["questions"], values, model) if "questions" in header else []


def encode_lessons(lessons: Sequence[Lesson], last: int, model: str) -> Content:
    """The lessons, one at least; `last` is the last number given, `model` the fingerprint of this server's."""
    spaces, entries, features, thumbnails = _encode_examples([lesson.example for lesson in lessons], model)
    for entry, lesson in zip(entries, lessons, strict=True):
        entry |= {"number": lesson.number, "label": lesson.label, "taught": lesson.taught}
    header = {"last": last, "spaces": spaces, "lessons": entries}
    return header, {"lessons": features, "thumbnails": thumbnails}


def decode_lessons(header: Mapping[str, Any], values: Mapping[str, Tensor], model: str) -> list[Lesson]:
    """The lessons that `encode_lessons` described, on a server with that `model`.

    Raises `BadRequest` when features are missing, and as `decode`.
    """
    entries: list[dict[str, Any]] = header["lessons"]
    examples = _decode_examples(header["spaces"], entries, values["lessons"], values["thumbnails"], model)
    return [
        Lesson(one["number"], example, one["label"], one.get("taught", one["seen"]))
        for one, example in zip(entries, examples, strict=True)
    ]


def encode_questions(questions: Sequence[Question], model: str) -> Content:
    """The questions, as `encode_lessons`. Needs one at least."""
    spaces, entries, features, thumbnails = _encode_examples([question.example for question in questions], model)
    for entry, question in zip(entries, questions, strict=True):
        entry |= {"reason": question.reason, "classes": len(question.logits)}
    logits = torch.cat([question.logits for question in questions])
    tensors = {"questions": features, "questions.thumbnails": thumbnails, "questions.logits": logits}
    return {"spaces": spaces, "questions": entries}, tensors


def decode_questions(header: Mapping[str, Any], values: Mapping[str, Tensor], model: str) -> list[Question]:
    """The questions that `encode_questions` described; raises as `decode_lessons`."""
    entries: list[dict[str, Any]] = header["questions"]
    features, thumbnails = values["questions"], values["questions.thumbnails"]
    examples = _decode_examples(header["spaces"], entries, features, thumbnails, model)
    logits = _split(values["questions.logits"], [one["classes"] for one in entries])
    return [
        Question(example, numbers.clone(), Reason(one["reason"]))
        for one, example, numbers in zip(entries, examples, logits, strict=True)
    ]


def _encode_examples(examples: Sequence[Example], model: str) -> tuple[list[Any], list[dict[str, Any]], Tensor, Tensor]:
    """Label sets, reductions and models; the rest of the examples; features float16 and thumbnails uint8 in a row."""
    spaces = {(one.labels, one.reduction, one.other_model or model): None for one in examples}
    places = {space: place for place, space in enumerate(spaces)}
    entries = [
        {
            "space": places[example.labels, example.reduction, example.other_model or model],
            "shape": list(example.views.shape),
            "thumbnail": len(example.thumbnail),
            "id": example.id,
            "seen": example.seen,
            "frame_id": example.frame_id,
            "request_id": example.request_id,
            **({"drawn": _encode_drawn(example.drawn)} if example.drawn else {}),
        }
        for example in examples
    ]
    described = [[encode_labels(labels), encode_reduction(reduction), made] for labels, reduction, made in spaces]
    features = torch.cat([one.views.flatten() for one in examples])
    data, dtype = bytearray(b"".join(one.thumbnail for one in examples)), torch.uint8
    thumbnails = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return described, entries, features, thumbnails


def _decode_examples(
    described: Sequence[Any], entries: Sequence[Mapping[str, Any]], features: Tensor, thumbnails: Tensor, model: str
) -> list[Example]:
    spaces: list[tuple[LabelSet, Reduction | None, str]] = [
        (decode_labels(labels), decode_reduction(reduction), "" if made == model else str(made))
        for labels, reduction, made in described
    ]
    rows = _split(features, [one["shape"][0] * one["shape"][1] for one in entries])
    examples = list[Example]()
    for one, views, thumbnail in zip(entries, rows, _split(thumbnails, [one["thumbnail"] for one in entries])):
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
            _decode_drawn(one["drawn"], other_model) if "drawn" in one else None,
        )
        examples.append(example)
    return examples


def _encode_drawn(drawn: Drawn) -> list[Any]:
    logits = b64encode(drawn.logits.float().numpy().tobytes()).decode()
    return [drawn.strategy, drawn.prediction_set, logits, drawn.confidence]


def _decode_drawn(described: Sequence[Any], other_model: str) -> Drawn:
    """What another model said counts for none of this server's strategies."""
    strategy, held, logits, *later = described
    values = torch.frombuffer(bytearray(b64decode(logits)), dtype=torch.float32)
    return Drawn("" if other_model else strategy, values, None if held is None else tuple(held), *later)


def _split(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    try:
        return torch.split(values, list(sizes))
    except RuntimeError:
        raise BadRequest("the lessons or questions in this snapshot do not have their features", "state") from None


def encode_sums(sums: Sequence[LessonSums], model: str) -> tuple[list[Any], dict[str, Tensor]]:
    """The sums of a site for JSON, and their tensors. `model` is the fingerprint of this server's."""
    header = [
        [encode_labels(one.labels), encode_reduction(one.reduction), one.other_model or model, one.epsilon, one.delta]
        for one in sums
    ]
    values = {f"{i}.{name}": getattr(one, name) for i, one in enumerate(sums) for name in ("counts", "sums", "scatter")}
    return header, values


def decode_sums(header: Sequence[Any], values: Mapping[str, Tensor], model: str) -> tuple[LessonSums, ...]:
    """The sums that `encode_sums` described, on a server with that `model`. Raises as `decode`."""
    found = list[LessonSums]()
    for i, (labels, reduction, made, epsilon, delta) in enumerate(header):
        counts, sums, scatter = (values[f"{i}.{name}"] for name in ("counts", "sums", "scatter"))
        named, reduced, other = decode_labels(labels), decode_reduction(reduction), "" if made == model else str(made)
        found.append(LessonSums(named, reduced, counts, sums, scatter, epsilon, delta, other))
    return tuple(found)
