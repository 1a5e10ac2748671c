"""Chooses the source that a text, such as a path or a URL, stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from ..statistics import Statistics
from ..types.frames import Frame
from .folder import PICTURES, FolderSource
from .masking import mask_secrets
from .video import SnapshotSource, VideoSource
from .virtual import VirtualSource
from .webcam import WebcamSource

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "tcp://", "udp://", "srt://")
FILE_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv", ".3gp", *PICTURES)
"""An http URL with such an ending is a file; any other is a camera."""
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


class Source(Protocol):
    """The frames of one camera. Closing the iterator closes the device."""

    @property
    def live(self) -> bool:
        """Whether frames go stale, as those of a camera do."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...


def open_source(
    text: str, options: Mapping[str, str] = NO_OPTIONS, *, live: bool | None = None, interval: float = 0.0
) -> Source:
    """A folder or a glob of pictures, a picture, a video file, a webcam's number, a URL, or `virtual:key=value,…`.

    `options` are FFmpeg's, for videos and URLs. `live` says whether a video or URL is a camera; None decides by its
    name. `interval`, in seconds, polls a URL that answers single pictures. Devices and connections open when iterating
    begins. Raises ValueError if the text is none of these.
    """
    source = _make_source(text, options, live, interval)
    if interval and not isinstance(source, SnapshotSource):
        raise ValueError("--interval is for http:// and https:// URLs")
    if live is not None and not isinstance(source, VideoSource):
        raise ValueError("--live and --no-live are for videos and URLs that are not polled")
    return source


def attach_statistics(source: Source, statistics: Statistics) -> Source:
    """The same source, which counts the frames that it leaves out in `statistics`."""
    return (
        replace(source, statistics=statistics)
        if isinstance(source, VideoSource | SnapshotSource | WebcamSource)
        else source
    )


def _make_source(text: str, options: Mapping[str, str], live: bool | None, interval: float) -> Source:
    if text == "virtual" or text.startswith("virtual:"):
        return VirtualSource.parse(text.removeprefix("virtual").removeprefix(":"))
    if text.isdecimal():
        return WebcamSource(int(text))
    scheme, separator, rest = text.partition("://")
    if (url := scheme.lower() + separator + rest).startswith(SCHEMES):
        return _make_url_source(url, options, live, interval)
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PICTURES or (any(sign in text for sign in "*?[") and not path.exists()):
        return FolderSource(text)
    if path.is_file():
        return VideoSource(text, live=bool(live), options=options)
    raise ValueError(f"{mask_secrets(text)!r} is no folder, file, glob, webcam number, URL or virtual: camera")


def _make_url_source(url: str, options: Mapping[str, str], live: bool | None, interval: float) -> Source:
    web = url.startswith("http")
    if web and interval:
        return SnapshotSource(url, interval, options)
    is_file = web and urlsplit(url).path.lower().endswith(FILE_ENDINGS)
    return VideoSource(url, live=not is_file if live is None else live, options=options)
