"""Chooses the source that a text, such as a path or a URL, stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..statistics import Statistics
from ..types.frames import Frame
from .folder import PICTURES, FolderSource
from .masking import mask_quotations, mask_secrets
from .text import make_printable
from .video import SnapshotSource, VideoSource
from .virtual import VirtualSource
from .watching import PipeSource, WatchedSource
from .webcam import DEFAULT_MODE, Mode, WebcamSource

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


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened; what it does not know is refused by `open_source`.

    `ffmpeg` are FFmpeg's own, for videos and URLs. `live` says whether a video, a URL or standard input is a camera;
    None decides by its name. `interval`, in seconds, polls a URL that answers single pictures. `watch` waits for more
    pictures in a folder. `decoder` is a device that decodes, such as cuda or vaapi. `mode` is of a webcam.
    """

    ffmpeg: Mapping[str, str] = field(default_factory=dict[str, str])
    live: bool | None = None
    interval: float = 0.0
    watch: bool = False
    decoder: str = ""
    mode: Mode = DEFAULT_MODE


def open_source(
    text: str, options: Mapping[str, str] = NO_OPTIONS, *, live: bool | None = None, interval: float = 0.0
) -> Source:
    """The source of a text, as `make_source` says, with some of its options."""
    return make_source(text, SourceOptions(options, live, interval))


def make_source(text: str, options: SourceOptions) -> Source:
    """A folder or a glob of pictures, a picture, a video file, a webcam's number, `device:NAME`, a URL, `-` for JPEGs
    on standard input, or `virtual:key=value,…`.

    Devices and connections open when iterating begins. Raises ValueError if the text is none of these.
    """
    source = _make_source(text, options)
    known: tuple[tuple[object, Any, str], ...] = (
        (options.interval, SnapshotSource, "--interval is for http:// and https:// URLs"),
        (
            options.live is not None,
            VideoSource | PipeSource,
            "--live and --no-live are for videos and URLs that are not polled",
        ),
        (options.watch, WatchedSource, "--watch is for folders and patterns of pictures"),
        (options.decoder, VideoSource, "--decoder is for videos and URLs"),
        (options.ffmpeg, VideoSource | SnapshotSource, "--ffmpeg and --rtsp-transport are for videos and URLs"),
        (
            options.mode != DEFAULT_MODE,
            WebcamSource,
            "--resolution, --device-fps and --pixel-format are for cameras of this machine",
        ),
    )
    for given, kinds, sentence in known:
        if given and not isinstance(source, kinds):
            raise ValueError(sentence)
    return source


def attach_statistics(source: Source, statistics: Statistics) -> Source:
    """The same source, which counts the frames that it leaves out in `statistics`."""
    return (
        replace(source, statistics=statistics)
        if isinstance(source, VideoSource | SnapshotSource | WebcamSource)
        else source
    )


def _make_source(text: str, options: SourceOptions) -> Source:
    if text == "virtual" or text.startswith("virtual:"):
        return VirtualSource.parse(text.removeprefix("virtual").removeprefix(":"))
    if text == "-":
        return PipeSource(live=options.live is not False)
    if text.isdecimal() or text.startswith(("device:", "/dev/video")):
        name = text.removeprefix("device:")
        return WebcamSource(int(name) if name.isdecimal() else name, mode=options.mode)
    scheme, separator, rest = text.partition("://")
    if (url := scheme.lower() + separator + rest).startswith(SCHEMES):
        return _make_url_source(url, options)
    return _make_file_source(text, options)


def _make_file_source(text: str, options: SourceOptions) -> Source:
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PICTURES or (any(sign in text for sign in "*?[") and not path.exists()):
        return WatchedSource(text) if options.watch else FolderSource(text)
    if path.is_file():
        return VideoSource(text, live=bool(options.live), options=options.ffmpeg, decoder=options.decoder)
    if options.watch:
        raise ValueError(f"--watch: there is no folder {mask_secrets(make_printable(text))!r}")
    raise ValueError(f"{mask_secrets(text)!r} is no folder, file, glob, webcam number, URL or virtual: camera")


def _make_url_source(url: str, options: SourceOptions) -> Source:
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise ValueError(f"{mask_secrets(make_printable(url))!r}: {mask_quotations(str(error))}") from None
    web = url.startswith("http")
    if web and options.interval:
        return SnapshotSource(url, options.interval, options.ffmpeg)
    is_file = web and path.lower().endswith(FILE_ENDINGS)
    live = not is_file if options.live is None else options.live
    return VideoSource(url, live=live, options=options.ffmpeg, decoder=options.decoder)
