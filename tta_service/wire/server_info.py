"""The facts and limits of this server, against which requests are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any, TypeVar

from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, Field

from ..core.reducer import Reducer
from ..images.files import DEFAULT_LIMITS

Bytes = Annotated[int, Field(ge=1024, le=1 << 40)]
M = TypeVar("M")  # a message
T = TypeVar("T")
LONGEST = 64 << 10  # bytes of a message that `parse_once` remembers


class Limits(BaseModel):
    """The maxima of requests and streams; also the section `limits` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    names: Annotated[int, Field(ge=1, le=100_000)] = 2000
    characters: Annotated[int, Field(ge=1, le=4096)] = 256  # of one name, template or sentence
    templates: Annotated[int, Field(ge=1, le=1000)] = 80
    sentences: Annotated[int, Field(ge=0, le=1000)] = 80  # of one name
    views: Annotated[int, Field(ge=1, le=4096)] = 512  # rows of features made on the device
    buffer: Annotated[int, Field(ge=1, le=4096)] = 64  # frames of one stream that may wait
    lessons: Annotated[int, Field(ge=1, le=1_000_000)] = 1000  # in one message, and examples to unlearn
    stream_bytes: Bytes = 64 << 20  # of the waiting frames of one stream
    all_streams_bytes: Bytes = 512 << 20  # of the waiting frames of all streams; each may have one frame beyond it
    all_calls_bytes: Bytes = 512 << 20  # of the messages of unary calls that are read or answered
    message_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0  # that one of them may take to arrive
    stream_fps: Annotated[float, Field(ge=0, le=1_000_000)] = 240.0  # read of one stream, unless it blocks; 0: any
    first_message: Annotated[float, Field(gt=0, le=3600)] = 5.0  # seconds for the message that opens a stream
    first_frame: Annotated[float, Field(gt=0, le=86400)] = 300.0  # seconds from there to the first frame or lesson
    client_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # of one client, running or waiting; 0: any number
    client_streams: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # that one client may have open; 0: any number
    owner_sessions: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # that one owner may have open; 0: any number
    image_bytes: Bytes = DEFAULT_LIMITS.max_bytes
    image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = DEFAULT_LIMITS.max_pixels
    image_side: Annotated[int, Field(ge=1, le=65535)] = DEFAULT_LIMITS.max_side
    message_bytes: Bytes = 9 << 20  # an image at its limit, and the rest of the request
    parameters: Mapping[str, float] = {}  # maxima of strategy parameters by field name, below the strategies' own


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The model's facts, the defaults and the limits."""

    model: str
    fingerprint: str
    image_size: int
    dimension: int
    device: str = "cpu"
    precision: str = "float32"
    version: str = ""
    jpeg_side: int = 0  # pixels that decoding leaves on the shorter side of a JPEG; 0: all
    strategy: str = "zero_shot"  # when a request names none
    reducer: str = "none"
    limits: Limits = field(default_factory=Limits)
    check_reducer: Callable[[Reducer], None] = lambda reducer: None  # raises `Unsupported` when the model cannot do it
    # What `parse_once` made lately, by the type and the bytes of the message, with about its size: 4 MiB in all.
    parsed: LRUCache[tuple[type, bytes], tuple[Any, int]] = field(
        default_factory=lambda: LRUCache(4 << 20, lambda known: known[1]), init=False, compare=False, repr=False
    )


def parse_once(parse: Callable[[M, ServerInfo, str], T]) -> Callable[[M, ServerInfo, str], T]:
    """`parse(message, server_info, path)`, which makes a frozen value, once for equal messages: most requests of a
    caller have the same options and labels."""

    @wraps(parse)
    def find_or_parse(message: Any, server_info: ServerInfo, path: str) -> T:
        message.DiscardUnknownFields()  # nobody checks those, so a key could be long
        key = message.__class__, message.SerializeToString(deterministic=True)
        if (known := server_info.parsed.get(key)) is None:
            known = parse(message, server_info, path), len(key[1]) + 1024
            if known[1] <= LONGEST:
                server_info.parsed[key] = known
        return known[0]

    return find_or_parse
