"""Lessons: from messages to core values and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import BadLabels, BadRequest, PermissionDenied, TTAError
from ..core.labels import LabelSet
from ..core.lessons import ExampleRef, FrameRef, Lesson, LessonRequest, LessonResult, RequestRef
from ..core.reducer import Reduction
from .catalogue import make_label_set, paginate
from .field_paths import FieldOrigins, field_prefix
from .options import parse_reduction
from .recorded import make_recorded, parse_recorded
from .requests import LabelLookup, parse_image, parse_labels
from .server_info import ServerInfo
from .status import to_status, to_tta_error
from .stream_requests import StreamConfig
from .v1 import tta_pb2 as pb
from .well_known import to_timestamp


def parse_lesson(
    message: pb.Lesson,
    find_labels: LabelLookup,
    server_info: ServerInfo,
    path: str,
    labels: LabelSet | None = None,
    reduction: Reduction | None = None,
) -> LessonRequest:
    """The lesson in a message at `path`. `labels` and `reduction` are those of the stream that carries it.

    Raises `TTAError` that names the field.
    """
    named = None
    if message.HasField("labels"):
        named = parse_labels(message.labels, find_labels, server_info, f"{path}.labels")
    if reduction is None or message.HasField("reduction"):
        reduction = parse_reduction(message.reduction, server_info, f"{path}.reduction")
    if message.WhichOneof("about") in ("image", "recorded"):
        named = named or labels
    about = _parse_about(message, named, reduction, server_info, path)
    return LessonRequest(about, _parse_label(message, path), named, reduction)


@dataclass(frozen=True, slots=True)
class StreamLesson:
    """A lesson of a stream, or the error of parsing it."""

    message: pb.Lesson
    parsed: LessonRequest | TTAError

    @property
    def request(self) -> LessonRequest:
        """Raises the error of parsing it."""
        if isinstance(self.parsed, TTAError):
            raise self.parsed
        return self.parsed

    def refuse(self, error: Exception) -> pb.LessonResult:
        """The result that says why."""
        return make_refusal(self.message, error, "lesson", located=self.parsed is error)


def parse_stream_lesson(
    message: pb.Lesson, find_labels: LabelLookup, server_info: ServerInfo, config: StreamConfig
) -> StreamLesson:
    """The lesson in a message of a stream. Raises nothing: one that cannot be parsed holds its error."""
    try:
        given = config.labels, config.options.reduction
        return StreamLesson(message, parse_lesson(message, find_labels, server_info, "lesson", *given))
    except Exception as error:  # an unexpected error fails this lesson, not the stream
        return StreamLesson(message, to_tta_error(error))


def check_number(number: int, field: str, server_info: ServerInfo) -> None:
    """Raises `BadRequest` when there are too many lessons or examples in one message."""
    if number > (most := server_info.limits.lessons):
        raise BadRequest(f"{number} in one message; this server takes at most {most}", field)


def _parse_about(
    message: pb.Lesson, labels: LabelSet | None, reduction: Reduction, server_info: ServerInfo, path: str
) -> Any:
    match message.WhichOneof("about"):
        case "frame_id":
            return FrameRef(message.frame_id)
        case "request_id" if message.request_id:
            return RequestRef(message.request_id)
        case "example_id" if message.example_id:
            return ExampleRef(message.example_id)
        case "image":
            return parse_image(message.image, reduction, server_info, f"{path}.image")
        case "recorded" if labels is not None:
            with field_prefix(f"{path}.recorded"):
                return parse_recorded(message.recorded, labels, server_info)
        case "recorded":
            raise BadLabels("there are no labels: a recorded example needs them", f"{path}.labels")
        case _:
            raise BadRequest("about which frame, request, example or image?", path)


def _parse_label(message: pb.Lesson, path: str) -> str | None:
    """The label; None: none of these."""
    match message.WhichOneof("word"):
        case "label":
            return message.label
        case "none_of_these" if message.none_of_these:
            return None
        case _:
            raise BadLabels("what does the picture show: which label, or none of these?", f"{path}.label")


def make_refusal(message: pb.Lesson, error: Exception, path: str, located: bool = False) -> pb.LessonResult:
    """Why the lesson at `path` was refused. `located`: the error names its field already."""
    error, about = to_tta_error(error), f"{path}.{message.WhichOneof('about')}"
    if not located and error.field not in ("session_id", "lesson_group") and not isinstance(error, PermissionDenied):
        labels = f"{path}.labels" + (f".{message.labels.WhichOneof('source')}" if message.HasField("labels") else "")
        if error.field in ("", "label"):
            error.field = f"{path}.label" if error.field else about
        else:
            content = "thumbnail" if message.HasField("recorded") else message.image.WhichOneof("content")
            error = FieldOrigins(f"{about}.{content}", labels, path).locate(error)
    return pb.LessonResult(status=to_status(error))


def make_result(taught: LessonResult) -> pb.LessonResult:
    """What became of a lesson."""
    return pb.LessonResult(
        example_id=taught.example,
        replaced=taught.replaced,
        learnt_by=taught.learnt_by,
        began_anew=taught.began_anew,
        stored=taught.stored,
        set_apart=taught.set_apart,
    )


def make_lesson_info(lesson: Lesson) -> pb.LessonInfo:
    """Describes a lesson."""
    example = lesson.example
    return pb.LessonInfo(
        set_apart=example.set_apart,
        example_id=example.id,
        label=lesson.label or "",
        label_set_id=example.labels.id,
        seen=to_timestamp(example.seen),
        frame_id=example.frame_id,
    )


def make_lessons(
    lessons: Sequence[Lesson], recorded: bool, page_size: int, page_token: str, server_info: ServerInfo
) -> pb.ListLessonsResponse:
    """A page of lessons, in the order of teaching; `recorded`: with all that teaches them elsewhere.

    Raises `BadRequest` for a bad token.
    """

    def bytes_of(lesson: Lesson) -> int:
        return 2 * lesson.example.views.nbytes + len(lesson.example.thumbnail) if recorded else 0

    page, token = paginate(lessons, lambda one: f"{one.number:012d}", page_size, page_token, bytes_of)
    infos, label_sets = [make_lesson_info(lesson) for lesson in page], dict[str, pb.LabelSet]()
    if recorded:
        for lesson, info in zip(page, infos, strict=True):
            info.recorded.CopyFrom(make_recorded(lesson.example, server_info))
            label_sets[info.label_set_id] = make_label_set(lesson.example.labels)
    return pb.ListLessonsResponse(lessons=infos, next_page_token=token, label_sets=label_sets)
