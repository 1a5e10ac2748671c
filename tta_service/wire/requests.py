"""Requests: from messages to core values, checked against the server's limits. Every error names the field.

And within which trace, from what a transport knows of the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..clip.text.templates import expand_templates
from ..core.errors import BadImage, BadLabels, BadRequest, TTAError, Unsupported
from ..core.labels import LabelSet
from ..core.parameters import shorten
from ..core.reducer import Reduction
from ..core.request import Encoded, Features, PixelFormat, Raw, Request
from ..serving.sessions.lesson_groups import GROUP
from ..serving.sessions.session import check_session_id
from .field_paths import FieldOrigins, field_prefix
from .identity import NOBODY, Caller
from .options import parse_options
from .server_info import ServerInfo, parse_once
from .v1 import tta_pb2 as pb

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{,256})?")  # later versions add fields
EMPTY = "the image is empty"
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
    caller: Caller = NOBODY,
    trace: str = "",
    image: Encoded | Raw | None = None,
) -> ParsedRequest:
    """The request of a single call. `arrived` and `deadline` are monotonic seconds, `trace` is the caller's span.

    `image`: in place of the message's, which would be a copy. Raises `TTAError` that names the field.
    """
    options = parse_options(message.options, server_info, "options")
    for field, asks in (("ask", options.ask), ("asking", options.trust.ask_per_hour is not None)):
        if asks and not message.session_id:
            sentence = "a question waits in its session, which ends with this call: name it in session_id"
            raise BadRequest(sentence, f"options.{field}")
    request = Request(
        image=image or parse_image(message.image, options.reduction, server_info, "image"),
        labels=parse_labels(message.labels, find_labels, server_info, "labels"),
        strategy=options.strategy,
        reduction=options.reduction,
        cascade=options.cascade,
        owner=caller.owner,
        client=caller.client,
        session=message.session_id and check_session_id(message.session_id),
        group=message.lesson_group and check_session_id(message.lesson_group, "lesson_group", GROUP),
        arrived=arrived,
        seed=options.seed,
        deadline=deadline,
        on_deadline=options.on_deadline,
        explain=options.explain,
        guard=options.guard,
        ask=options.ask,
        trust=options.trust,
        request_id=message.request_id,
        trace=trace,
    )
    kind = {Encoded: "encoded", Raw: "raw", Features: "features"}[type(request.image)]
    labels = f"labels.{message.labels.WhichOneof('source')}"
    return ParsedRequest(request, options.top_k, FieldOrigins(f"image.{kind}", labels, "options"))


def parse_image(
    message: pb.Image, reduction: Reduction, server_info: ServerInfo, path: str
) -> Encoded | Raw | Features:
    """The image in a message at `path`, not decoded yet. Raises `BadImage` or `Unsupported`."""
    match message.WhichOneof("content"):
        case "encoded":
            if not (data := message.encoded):  # each look at it makes a copy
                raise BadImage(EMPTY, f"{path}.encoded")
            return Encoded(data)
        case "raw":
            raw = message.raw
            if raw.format not in FORMATS:
                raise BadImage("raw pixels need a format: RGB24, BGR24, GRAY8 or NV12", f"{path}.raw.format")
            return Raw(raw.width, raw.height, FORMATS[raw.format], raw.pixels)
        case "features":
            if reduction.reducer.name != "none":
                raise Unsupported("features made on the device have no tokens left to reduce", f"{path}.features")
            with field_prefix(f"{path}.features"):
                return parse_features(message.features, server_info)
        case _:
            raise BadImage("there is no image: give encoded bytes, raw pixels or features", path)


def parse_labels(message: pb.Labels, find_labels: LabelLookup, server_info: ServerInfo, path: str) -> LabelSet:
    """The label set that a message holds or names by id. Raises `BadLabels` or `UnknownLabels`."""
    match message.WhichOneof("source"):
        case "id":
            try:
                return find_labels(message.id)
            except TTAError as error:
                error.field = f"{path}.id"
                raise
        case "label_set":
            return parse_label_set(message.label_set, server_info, f"{path}.label_set")
        case _:
            raise BadLabels("there are no labels: give the id of a label set, or the set itself", path)


@parse_once
def parse_label_set(message: pb.LabelSet, server_info: ServerInfo, path: str) -> LabelSet:
    """The label set in a message at `path`, with the default template when it names none. Raises `BadLabels`."""
    limits, sentences = server_info.limits, [tuple(one.texts) for one in message.sentences]
    with field_prefix(path):
        _check_texts(message.names, "names", limits.names, limits.characters)
        templates = expand_templates(message.templates)
        _check_texts(templates, "templates", limits.templates, limits.characters)
        for place, some in enumerate(sentences):
            _check_texts(some, f"sentences[{place}]", limits.sentences, limits.characters)
        given = (message.names, templates) if templates else (message.names,)
        return LabelSet(*given, allow_duplicates=message.allow_duplicates, sentences=tuple(sentences))  # type: ignore[arg-type]


def _check_texts(texts: Sequence[str], field: str, most: int, characters: int) -> None:
    if len(texts) > most:
        raise BadLabels(f"{len(texts)} {field.partition('[')[0]}; this server takes at most {most}", field)
    for index, text in enumerate(texts):
        if len(text) > characters:
            raise BadLabels(f"{len(text)} characters; this server takes at most {characters}", f"{field}[{index}]")


def parse_features(message: pb.Features, server_info: ServerInfo) -> Features:
    """The features [v, d] that the client computed, float32. Raises `BadImage` with a field relative to the message.

    They are normalised, since our image tower did not make them.
    """
    if message.model != server_info.fingerprint:
        raise BadImage(
            f"these features are of model {shorten(message.model)}; this server's is {server_info.fingerprint}", "model"
        )
    if message.dimension != server_info.dimension:
        raise BadImage(f"dimension is {message.dimension}; the model's is {server_info.dimension}", "dimension")
    if not 1 <= message.views <= server_info.limits.views:
        raise BadImage(f"views is {message.views}; it must be 1 to {server_info.limits.views}", "views")
    rows, norms = read_rows(message)
    return Features(torch.from_numpy((rows / norms).astype(np.float32)))  # pyright: ignore[reportUnknownMemberType]


def read_rows(message: pb.Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The features [v, d] as they came, and their norms [v, 1].

    Raises `BadImage` for what is not finite or zero, with a field relative to the message.
    """
    expected = message.views * message.dimension * 4
    if len(message.values) != expected:
        raise BadImage(f"{len(message.values)} bytes; views × dimension × 4 is {expected}", "values")
    rows = np.frombuffer(message.values, dtype="<f4").reshape(message.views, message.dimension).astype(np.float64)
    norms = np.sqrt((rows * rows).sum(1, keepdims=True))  # [v, 1] in double: large finite numbers must not overflow
    wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(wrong):
        raise BadImage(f"row {wrong[0]} holds a number that is not finite, or is all zeros", "values")
    return rows, norms


def trace_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The caller's span, from the W3C header `traceparent`; "" when it is absent or malformed."""
    values = (value for key, value in metadata or () if key == "traceparent")
    return next((value for value in values if isinstance(value, str) and TRACEPARENT.fullmatch(value)), "")
