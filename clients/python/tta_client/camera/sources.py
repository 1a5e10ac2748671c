"""Which source a word on the command line means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from ..statistics import Statistics
from ..types.frames import Frame
from .folder import PICTURES, Folder
from .masking import without_secrets
from .snapshots import Snapshots
from .video import Video
from .virtual import Virtual
from .webcam import Webcam

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "tcp://", "udp://", "srt://")
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv", ".3gp", *PICTURES)
"""What an http URL ends with that is a file and no camera."""
NONE: Mapping[str, str] = MappingProxyType({})


class Source(Protocol):
    """Frames of one camera. Closing the iterator lets the device go."""

    @property
    def live(self) -> bool: ...

    def __iter__(self) -> Iterator[Frame]: ...


def open_source(
    text: str, options: Mapping[str, str] = NONE, *, live: bool | None = None, interval: float = 0.0
) -> Source:
    """A folder or a glob of pictures, a picture, a video file, a webcam's number, a URL, or `virtual:key=value,…`.

    Raises ValueError when it is none of them. `options` are FFmpeg's, for videos and URLs; `live` says of these whether
    they are cameras, where their names do not tell; an `interval` in seconds is for a URL that answers single pictures.
    Devices and connections open when iterating begins.
    """
    source = _source(text, options, live, interval)
    if interval and not isinstance(source, Snapshots):
        raise ValueError("--interval is for http:// and https:// URLs")
    if live is not None and not isinstance(source, Video):
        raise ValueError("--live and --no-live are for videos and URLs that are not polled")
    return source


def count_frames(source: Source, statistics: Statistics) -> Source:
    """The same source, telling there which frames it had to leave out."""
    return replace(source, statistics=statistics) if isinstance(source, Video | Snapshots | Webcam) else source


def _source(text: str, options: Mapping[str, str], live: bool | None, interval: float) -> Source:
    if text == "virtual" or text.startswith("virtual:"):
        return Virtual.parse(text.removeprefix("virtual").removeprefix(":"))
    if text.isdecimal():
        return Webcam(int(text))
    if text.startswith(SCHEMES):
        web = text.startswith("http")
        if web and interval:
            return Snapshots(text, interval, options)
        film = web and urlsplit(text).path.lower().endswith(FILMS)
        return Video(text, live=not film if live is None else live, options=options)
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PICTURES or (any(sign in text for sign in "*?[") and not path.exists()):
        return Folder(text)
    if path.is_file():
        return Video(text, live=bool(live), options=options)
    raise ValueError(f"{without_secrets(text)!r} is no folder, file, glob, webcam number, URL or virtual: camera")
