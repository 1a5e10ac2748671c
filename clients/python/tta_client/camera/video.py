"""Video files (MP4, GIF, …) and network cameras, through FFmpeg (PyAV)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from ..channel import loopback
from ..statistics import Statistics
from ..types.frames import Frame
from .gif import whole
from .masking import without_secrets
from .reel import Gone, Reel
from .text import printable

SLACK = 0.5  # seconds by which a playback may fall short of its announced length
log = logging.getLogger("tta_client")


class NoPicture(OSError):
    """What was opened holds no picture that can be decoded."""


@dataclass(frozen=True, slots=True)
class Video:
    """A file or a URL; `live`: a camera, whose frames go stale.

    One that opens or delivers nothing for that many seconds is an OSError, and so are many damaged packets in a row of
    a camera. Damaged frames are left out, and counted in `statistics` as `unreadable`. `options` are FFmpeg's own for
    this protocol and container, such as `rtsp_transport`.
    """

    url: str = field(repr=False)
    live: bool = False
    open_seconds: float = 10.0
    read_seconds: float = 20.0
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    statistics: Statistics = field(default_factory=Statistics, compare=False)

    @property
    def name(self) -> str:
        """As it may be shown."""
        return without_secrets(printable(self.url))

    def __iter__(self) -> Iterator[Frame]:
        """Raises OSError for what cannot be opened, goes silent or hangs up, and, after all frames that there are, for
        what ends before its own duration or holds no picture."""
        av = _av()
        remote = "://" in self.url
        timeout = (self.open_seconds, self.read_seconds) if remote else None
        try:
            at = self.url if remote else f"file:{self.url}"
            with av.open(at, options=self._options(), timeout=timeout) as container:
                if not container.streams.video:
                    raise OSError(f"{self.name} holds no video")
                if container.streams.video[0].codec_context is None:
                    raise NoPicture(f"{self.name} holds no video that can be decoded")
                lost = partial(warn_left_out, self.name, self.statistics)
                reel = Reel(container, lost, self.read_seconds if self.live else 0.0)
                for number, pixels in enumerate(reel, 1):
                    yield Frame(number, pixels)
                self._check_end(reel, container.format.name)
        except Gone as error:
            raise OSError(f"{self.name}: {error}") from error
        except av.FFmpegError as error:
            kind = NoPicture if isinstance(error, av.InvalidDataError) else OSError
            raise kind(without_secrets(f"{self.name}: {error.strerror or error}", self.url)) from None

    def _options(self) -> dict[str, str]:
        # What breaks off amid a film is asked for again from there; a camera is opened anew.
        options = {"flags": "low_delay"} if self.live else {"reconnect": "1", "reconnect_delay_max": "10"}
        if self.url.startswith("rtsp"):
            options |= {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        if loopback(urlsplit(self.url).hostname or ""):
            options["http_proxy"] = ""  # else FFmpeg obeys the environment
        return options | dict(self.options)

    def _check_end(self, reel: Reel, format: str) -> None:
        """Whether that was all. A camera never ends, but a playback does."""
        if self.live and not reel.duration:
            single = reel.shown == 1 and format.endswith("_pipe")
            raise OSError(f"{self.name} {'answers single pictures; --interval polls it' if single else 'hung up'}")
        if not reel.shown:
            raise NoPicture(f"{self.name} holds no picture that can be decoded" + (reel.error and f" ({reel.error})"))
        if reel.missing > (SLACK if self.live else 0):
            raise OSError(f"{self.name} breaks off {reel.missing:.1f} s before its end")
        if format == "gif" and "://" not in self.url and not whole(self.url):
            raise OSError(f"{self.name} is cut off or damaged: what follows cannot be found")


def warn_left_out(name: str, statistics: Statistics) -> None:
    """Counts a damaged frame; says so at the first."""
    if not statistics.damaged:
        log.warning("%s: a damaged frame is left out; if there are more, they are counted", name)
    statistics.damaged += 1
    statistics.dropped["unreadable"] += 1


def _av():
    try:
        import av
    except ImportError:
        raise OSError("video needs PyAV: pip install 'tta-client[camera]'") from None
    return av
