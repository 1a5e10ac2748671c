"""Video files (MP4, GIF, …) and network cameras, through FFmpeg (PyAV)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ..channel import is_loopback
from ..statistics import Statistics
from ..types.frames import Frame, open_frames
from .extras import import_package
from .masking import mask_secrets
from .text import make_printable
from .video_reader import MAX_DAMAGED, CameraSilent, VideoReader

MAX_SHORTFALL = 0.5  # seconds by which a recording played by a camera may be shorter than it announces
EXTENSION, IMAGE, TRAILER = b"!", b",", b";"  # what the blocks of a GIF begin with
log = logging.getLogger("tta_client")


class NoPicture(OSError):
    """The container was opened, and holds no picture that can be decoded."""


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A video file, or a URL that FFmpeg plays. `live` says that it is a camera, whose frames go stale.

    Opening a URL may take `open_seconds`, each read of one `read_seconds`; so long may a camera send no picture. A
    damaged frame is left out and counted in `statistics` as `unreadable`. `options` are FFmpeg's own for the protocol
    and the container, such as `rtsp_transport`.
    """

    url: str = field(repr=False)
    live: bool = False
    open_seconds: float = 10.0
    read_seconds: float = 20.0
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    decoder: str = ""  # a device that decodes, such as cuda or vaapi, "auto": any; what it cannot is decoded without
    statistics: Statistics = field(default_factory=Statistics, compare=False)

    @property
    def name(self) -> str:
        """The URL without secrets, as text that can be printed."""
        return mask_secrets(make_printable(self.url))

    def __iter__(self) -> Iterator[Frame]:
        """Frames numbered from 1, [h, w, 3] uint8 RGB.

        Raises OSError when the video cannot be opened, and when a camera is silent, hangs up, or sends `MAX_DAMAGED`
        damaged packets in a row. Also raises it after the last frame of a video that ends before its own duration or
        holds no picture.
        """
        av = import_package("av", "PyAV", "video")
        timeout = (self.open_seconds, self.read_seconds) if "://" in self.url else None
        location, container, began = self.url if timeout else f"file:{self.url}", None, time.monotonic()
        try:
            with av.open(location, options=self._options(), timeout=timeout, **find_decoder(self.decoder)) as container:
                if not container.streams.video:
                    raise OSError(f"{self.name} holds no video")
                if container.streams.video[0].codec_context is None:
                    raise NoPicture(f"{self.name} holds no video that can be decoded")
                on_loss = partial(count_damaged, self.name, self.statistics)
                reader = VideoReader(container, on_loss, self.read_seconds if self.live else 0.0)
                for number, pixels in enumerate(reader, 1):
                    yield Frame(number, pixels, position=reader.position)
                self._check_end(reader, container.format.name)
        except CameraSilent as error:
            raise OSError(f"{self.name}: {error}") from error
        except av.FFmpegError as error:
            raise self._explain(error, container is not None, time.monotonic() - began) from None

    def _explain(self, error: Any, opened: bool, seconds: float) -> OSError:
        """The error for the caller. FFmpeg has several for a camera that takes the connection and is silent."""
        from av.error import ExitError, InvalidDataError

        limit = self.read_seconds if opened else self.open_seconds
        if "://" in self.url and (isinstance(error, ExitError) or (not opened and seconds >= limit)):
            return OSError(f"{self.name} has not answered within {limit:g} s")
        message = mask_secrets(f"{self.name}: {error.strerror or error}", self.url)
        return NoPicture(message) if isinstance(error, InvalidDataError) else OSError(message)

    def count(self) -> int:
        """The number of frames that a file announces; 0: it is a camera, cannot be opened, or does not tell."""
        if self.live or "://" in self.url:
            return 0
        av = import_package("av", "PyAV", "video")
        with suppress(av.FFmpegError, IndexError), av.open(f"file:{self.url}", options=self._options()) as container:
            stream = container.streams.video[0]
            return stream.frames or round((container.duration or 0) / 1e6 * float(stream.average_rate or 0))
        return 0

    def _options(self) -> dict[str, str]:
        # A file whose transfer breaks off is requested again from there; a camera is opened again.
        options = {"flags": "low_delay"} if self.live else {"reconnect": "1", "reconnect_delay_max": "10"}
        if self.url.startswith("rtsp"):
            options |= {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        if is_loopback(urlsplit(self.url).hostname or ""):
            options["http_proxy"] = ""  # or FFmpeg takes the proxy of the environment
        return options | dict(self.options)

    def _check_end(self, reader: VideoReader, format: str) -> None:
        """Raises OSError for an end that came too early. A camera has no end; a recording that it plays has one."""
        if self.live and not reader.duration:
            single = reader.decoded == 1 and format.endswith("_pipe")
            raise OSError(f"{self.name} {'answers single pictures; --interval polls it' if single else 'hung up'}")
        if not reader.decoded:
            raise NoPicture(
                f"{self.name} holds no picture that can be decoded" + (reader.error and f" ({reader.error})")
            )
        if reader.missing > (MAX_SHORTFALL if self.live else 0):
            raise OSError(f"{self.name} breaks off {reader.missing:.1f} s before its end")
        if format == "gif" and "://" not in self.url and not is_complete_gif(self.url):
            raise OSError(f"{self.name} is cut off or damaged: what follows cannot be found")


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """Requests a picture from `url` every `interval` seconds. `options` and `statistics` are those of `VideoSource`.

    Iterating raises OSError when the camera does not answer, and for `MAX_DAMAGED` damaged pictures in a row.
    """

    url: str = field(repr=False)
    interval: float
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    statistics: Statistics = field(default_factory=Statistics, compare=False)
    live: bool = True

    def __iter__(self) -> Iterator[Frame]:
        number = damaged = 0
        due = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - self.interval) + self.interval
            camera = VideoSource(self.url, options=self.options)
            try:
                with open_frames(camera) as pictures:
                    picture = next(pictures).image
            except NoPicture:
                count_damaged(camera.name, self.statistics)
                if (damaged := damaged + 1) >= MAX_DAMAGED:
                    raise
                continue
            number, damaged = number + 1, 0
            yield Frame(number, picture)


def find_decoder(name: str) -> dict[str, Any]:
    """What opens a container with a device that decodes; nothing for "", and for "auto" where there is none.

    Raises OSError for a device that is not there, naming those that are.
    """
    if not name:
        return {}
    av, hwaccel = (import_package(package, "PyAV", "--decoder") for package in ("av", "av.codec.hwaccel"))
    known = hwaccel.hwdevices_available()
    for kind in known if name == "auto" else [name] if name in known else []:
        with suppress(av.FFmpegError):
            device = hwaccel.HWAccel(kind, allow_software_fallback=True)
            av.CodecContext.create("h264", "r", hwaccel=device)  # which opens it
            return {"hwaccel": device}
    if name == "auto":
        return {}
    raise OSError(f"--decoder {make_printable(name)}: it is not to be had here; FFmpeg knows {', '.join(known)}")


def count_damaged(name: str, statistics: Statistics) -> None:
    """Counts a damaged frame, and logs the first."""
    if not statistics.damaged:
        log.warning("%s: a damaged frame is left out; if there are more, they are counted", name)
    statistics.damaged += 1
    statistics.dropped["unreadable"] += 1


def is_complete_gif(path: str) -> bool:
    """Whether the GIF's blocks follow one another up to its trailer: FFmpeg takes damage for the end of the file."""
    with open(path, "rb") as file:
        _skip_colours(file, file.read(13)[10:11])
        while (block := file.read(1)) in (EXTENSION, IMAGE):
            if block == EXTENSION:
                file.seek(1, 1)  # the extension's label
            else:
                _skip_colours(file, file.read(9)[8:])
                file.seek(1, 1)  # the code size
            while (size := file.read(1)) not in (b"", b"\0"):
                file.seek(size[0], 1)
        return block == TRAILER


def _skip_colours(file: BinaryIO, flags: bytes) -> None:
    """Skips the colour table that the flags announce."""
    if flags and flags[0] & 0x80:
        file.seek(3 * 2 ** (flags[0] % 8 + 1), 1)
