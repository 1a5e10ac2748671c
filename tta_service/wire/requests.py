"""Requests: from messages to core values, checked against the server's limits. Every error names the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.errors import BadImage, BadLabels, Unsupported
from ..core.labels import LabelSet
from ..core.request import Encoded, Features, PixelFormat, Raw, Request
from ..serving.sessions.session import check_session_id
from .features import parse_features
from .field_paths import FieldOrigins, field_prefix
from .options import Options, parse_options
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb

LabelLookup = Callable[[str], LabelSet]  # a label set by its id; raises UnknownLabels

FORMATS = {
    pb.RawImage.FORMAT_RGB24: PixelFormat.RGB24,
    pb.RawImage.FORMAT_BGR24: PixelFormat.BGR24,
    pb.RawImage.FORMAT_GRAY8: PixelFormat.GRAY8,
    pb.RawImage.FORMAT_NV12: PixelFormat.NV12,
}


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request, and what only its response needs: the number of scores, and where its parts came from."""

    request: Request
    top_k: int
    origin: FieldOrigins


def parse_request(
    message: pb.ClassifyRequest,
    find_labels: LabelLookup,
    server_info: ServerInfo,
    arrived: float,
    deadline: float | None,
    client: str = "",
    trace: str = "",
) -> ParsedRequest:
    """The request of a single call. `arrived` and `deadline` are monotonic seconds, `client` is the caller, `trace` its
    span. Raises `TTAError` that names the field.
    """
    options = parse_options(message.options, server_info, "options")
    request = Request(
        image=parse_image(message.image, options, server_info, "image"),
        labels=parse_labels(message.labels, find_labels, server_info, "labels"),
        strategy=options.strategy,
        reduction=options.reduction,
        cascade=options.cascade,
        client=client,
        session=check_session_id(message.session_id),
        arrived=arrived,
        seed=options.seed,
        deadline=deadline,
        on_deadline=options.on_deadline,
        explain=options.explain,
        request_id=message.request_id,
        trace=trace,
    )
    return ParsedRequest(
        request, options.top_k, FieldOrigins(image_path(message.image, "image"), labels_path(message.labels), "options")
    )


def strategy_name(message: Any) -> str:
    """The unchecked strategy name in a message, "" when there is none or the message is of another kind."""
    return message.options.strategy.name if isinstance(message, pb.ClassifyRequest) else ""


def parse_image(message: pb.Image, options: Options, server_info: ServerInfo, path: str) -> Encoded | Raw | Features:
    """The image in a message at `path`, not decoded yet. Raises `BadImage` or `Unsupported`."""
    match message.WhichOneof("content"):
        case "encoded":
            if not message.encoded:
                raise BadImage("the image is empty", f"{path}.encoded")
            return Encoded(message.encoded)
        case "raw":
            raw = message.raw
            if raw.format not in FORMATS:
                raise BadImage("raw pixels need a format: RGB24, BGR24, GRAY8 or NV12", f"{path}.raw.format")
            return Raw(raw.width, raw.height, FORMATS[raw.format], raw.pixels)
        case "features":
            if options.reduction.reducer.name != "none":
                raise Unsupported("features made on the device have no tokens left to reduce", f"{path}.features")
            with field_prefix(f"{path}.features"):
                return parse_features(message.features, server_info)
        case _:
            raise BadImage("there is no image: give encoded bytes, raw pixels or features", path)


def parse_labels(message: pb.Labels, find_labels: LabelLookup, server_info: ServerInfo, path: str) -> LabelSet:
    """The label set that a message holds or names by id. Raises `BadLabels` or `UnknownLabels`."""
    match message.WhichOneof("source"):
        case "id":
            with field_prefix(f"{path}.id", whole=True):
                return find_labels(message.id)
        case "label_set":
            return parse_label_set(message.label_set, server_info, f"{path}.label_set")
        case _:
            raise BadLabels("there are no labels: give the id of a label set, or the set itself", path)


def image_path(message: pb.Image, path: str) -> str:
    """The field that holds an image's content, such as "image.encoded"."""
    return f"{path}.{message.WhichOneof('content')}"


def labels_path(message: pb.Labels, path: str = "labels") -> str:
    """The field that holds the labels, such as "labels.id"."""
    return f"{path}.{message.WhichOneof('source')}"


def parse_label_set(message: pb.LabelSet, server_info: ServerInfo, path: str) -> LabelSet:
    """The label set in a message at `path`, with the default template when it names none. Raises `BadLabels`."""
    limits = server_info.limits
    for field, texts, limit in (
        ("names", message.names, limits.names),
        ("templates", message.templates, limits.templates),
    ):
        if len(texts) > limit:
            raise BadLabels(f"{len(texts)} {field}; this server takes at most {limit}", f"{path}.{field}")
        for index, text in enumerate(texts):
            if len(text) > limits.characters:
                reason = f"{len(text)} characters; this server takes at most {limits.characters}"
                raise BadLabels(reason, f"{path}.{field}[{index}]")
    with field_prefix(path):
        names, templates = tuple(message.names), tuple(message.templates)
        given = (names, templates) if templates else (names,)
        return LabelSet(*given, allow_duplicates=message.allow_duplicates)
