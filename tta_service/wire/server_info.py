"""The facts and limits of this server, against which requests are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache

from ..core.reducer import Reducer


@dataclass(frozen=True, slots=True)
class Limits:
    """The maxima of a request and a stream. `parameters` are those of strategy parameters by field name."""

    names: int = 2000
    characters: int = 256  # of one name, and of one template
    templates: int = 8
    views: int = 512  # rows of features made on the device
    buffer: int = 64  # frames of one stream that may wait
    stream_bytes: int = 64 << 20  # of the waiting frames of one stream
    all_streams_bytes: int = 512 << 20  # of the waiting frames of all streams; each may have one frame beyond it
    stream_fps: float = 240.0  # frames of one stream that are read in a second, unless its policy blocks; 0: any number
    first_message: float = 5.0  # seconds within which the message that opens a stream must come
    image_bytes: int = 8 << 20
    image_pixels: int = 16_000_000
    image_side: int = 8192
    message_bytes: int = 9 << 20  # an image at its limit, and the rest of the request
    parameters: Mapping[str, float] = field(default_factory=dict[str, float])


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
    strategy: str = "zero_shot"  # when a request names none
    reducer: str = "none"
    limits: Limits = Limits()
    check_reducer: Callable[[Reducer], None] = lambda reducer: None  # raises `Unsupported` when the model cannot do it
    # Strategies and reductions that requests chose lately, by the bytes of the choice. They are checked when built.
    chosen: LRUCache[tuple[type, bytes], Any] = field(
        default_factory=lambda: LRUCache(256), init=False, compare=False, repr=False
    )
