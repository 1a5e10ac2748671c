"""Which source a word on the command line means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from ..frames import Frame
from .folder import PICTURES, Folder
from .video import Video
from .virtual import Virtual
from .webcam import Webcam

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "tcp://", "udp://", "srt://")
NONE: Mapping[str, str] = MappingProxyType({})


class Source(Protocol):
    """Frames of one camera. Closing the iterator lets the device go."""

    @property
    def live(self) -> bool: ...

    def __iter__(self) -> Iterator[Frame]: ...


def open_source(text: str, options: Mapping[str, str] = NONE) -> Source:
    """A folder or a glob of pictures, a picture, a video file, a webcam's number, a URL, or `virtual:key=value,…`.

    Raises ValueError when it is none of them. `options` are FFmpeg's, for videos and URLs. Devices and connections open
    when iterating begins.
    """
    if text == "virtual" or text.startswith("virtual:"):
        return Virtual.parse(text.removeprefix("virtual").removeprefix(":"))
    if text.isdecimal():
        return Webcam(int(text))
    if text.startswith(SCHEMES):
        return Video(text, live=True, options=options)
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PICTURES or (any(sign in text for sign in "*?[") and not path.exists()):
        return Folder(text)
    if path.is_file():
        return Video(text, options=options)
    raise ValueError(f"{text!r} is no folder, file, glob, webcam number, URL or virtual: camera")
