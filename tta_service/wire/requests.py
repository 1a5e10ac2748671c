"""Questions: from the wire to core values, checked against the server's terms. Every error names the wire's field."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.errors import BadImage, BadLabels, BadRequest, Unsupported
from ..core.labels import LabelSet
from ..core.request import Encoded, Features, PixelFormat, Raw, Request
from .features import features_of
from .field_paths import Origin, at
from .options import Options, options_of
from .server_info import Terms
from .v1 import tta_pb2 as pb

Known = Callable[[str], LabelSet]  # a label set by its id; raises UnknownLabels

FORMATS = {
    pb.RawImage.FORMAT_RGB24: PixelFormat.RGB24,
    pb.RawImage.FORMAT_BGR24: PixelFormat.BGR24,
    pb.RawImage.FORMAT_GRAY8: PixelFormat.GRAY8,
    pb.RawImage.FORMAT_NV12: PixelFormat.NV12,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what only its reply needs to know."""

    request: Request
    top_k: int
    origin: Origin


def asked_of(
    message: pb.ClassifyRequest,
    known: Known,
    terms: Terms,
    arrived: float,
    deadline: float | None,
    client: str = "",
    trace: str = "",
) -> Asked:
    """A single call's question; `arrived` and `deadline` in monotonic seconds, `client` who asks, `trace` his span."""
    options = options_of(message.options, terms, "options")
    request = Request(
        image=image_of(message.image, options, terms, "image"),
        labels=labels_of(message.labels, known, terms, "labels"),
        strategy=options.strategy,
        reduction=options.reduction,
        cascade=options.cascade,
        client=client,
        session=session_of(message.session_id, "session_id"),
        arrived=arrived,
        seed=options.seed,
        deadline=deadline,
        on_deadline=options.on_deadline,
        explain=options.explain,
        request_id=message.request_id,
        trace=trace,
    )
    return Asked(
        request, options.top_k, Origin(image_path(message.image, "image"), labels_path(message.labels), "options")
    )


def strategy_named(message: Any) -> str:
    """The strategy that a message names, "" when it names none or is of another kind. Not checked."""
    return message.options.strategy.name if isinstance(message, pb.ClassifyRequest) else ""


def image_of(message: pb.Image, options: Options, terms: Terms, path: str) -> Encoded | Raw | Features:
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
            with at(f"{path}.features"):
                return features_of(message.features, terms)
        case _:
            raise BadImage("there is no image: give encoded bytes, raw pixels or features", path)


def labels_of(message: pb.Labels, known: Known, terms: Terms, path: str) -> LabelSet:
    match message.WhichOneof("source"):
        case "id":
            with at(f"{path}.id", whole=True):
                return known(message.id)
        case "label_set":
            return label_set_of(message.label_set, terms, f"{path}.label_set")
        case _:
            raise BadLabels("there are no labels: give the id of a label set, or the set itself", path)


def image_path(message: pb.Image, path: str) -> str:
    return f"{path}.{message.WhichOneof('content')}"


def labels_path(message: pb.Labels, path: str = "labels") -> str:
    return f"{path}.{message.WhichOneof('source')}"


def label_set_of(message: pb.LabelSet, terms: Terms, path: str) -> LabelSet:
    """Without templates: the default one."""
    most = terms.limits
    for what, texts, limit in (("names", message.names, most.names), ("templates", message.templates, most.templates)):
        if len(texts) > limit:
            raise BadLabels(f"{len(texts)} {what}; this server takes at most {limit}", f"{path}.{what}")
        for place, text in enumerate(texts):
            if len(text) > most.characters:
                said = f"{len(text)} characters; this server takes at most {most.characters}"
                raise BadLabels(said, f"{path}.{what}[{place}]")
    with at(path):
        names, templates = tuple(message.names), tuple(message.templates)
        given = (names, templates) if templates else (names,)
        return LabelSet(*given, allow_duplicates=message.allow_duplicates)


def session_of(text: str, path: str) -> str:
    """Empty stays empty: a fresh session."""
    if text and not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text):
        raise BadRequest("a session id is 1 to 128 of the characters A-Z a-z 0-9 . _ : -", path)
    return text
