"""Video files (MP4, GIF, …) and network cameras, through FFmpeg (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..frames import Frame


@dataclass(frozen=True, slots=True)
class Video:
    """A file, or a URL when `live`. A camera that opens or delivers nothing for that many seconds is an OSError.

    `options` are FFmpeg's own for this protocol and container, such as `rtsp_transport`.
    """

    url: str
    live: bool = False
    open_seconds: float = 10.0
    read_seconds: float = 20.0
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    def __iter__(self) -> Iterator[Frame]:
        """Raises OSError for a file or camera that cannot be opened, goes silent or hangs up."""
        av = _av()
        options = {"flags": "low_delay"} if self.live else {}
        if self.url.startswith("rtsp"):
            options |= {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        options |= self.options
        timeout = (self.open_seconds, self.read_seconds) if self.live else None
        try:
            with av.open(self.url, options=options, timeout=timeout) as container:
                if not container.streams.video:
                    raise OSError(f"{self.url} holds no video")
                stream = container.streams.video[0]
                if not self.live:
                    stream.thread_type = "AUTO"
                for number, picture in enumerate(container.decode(stream), 1):
                    frame = Frame(number, picture.to_ndarray(format="rgb24"))
                    del picture  # its buffer goes back to FFmpeg while the frame is under way
                    yield frame
                endless = self.live and container.duration is None
        except av.FFmpegError as error:
            raise OSError(f"{self.url}: {error.strerror or error}") from error
        if endless:
            raise OSError(f"{self.url} hung up")


def _av():
    try:
        import av
    except ImportError:
        raise OSError("video needs PyAV: pip install 'tta-client[camera]'") from None
    return av
