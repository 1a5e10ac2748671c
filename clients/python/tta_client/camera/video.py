"""Video files (MP4, GIF, …) and network cameras, through FFmpeg (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..frames import Frame


@dataclass(frozen=True, slots=True)
class Video:
    """A file, or a URL when `live`. A camera that opens or delivers nothing for that many seconds ends the source."""

    url: str
    live: bool = False
    open_seconds: float = 10.0
    read_seconds: float = 20.0

    def __iter__(self) -> Iterator[Frame]:
        """Raises OSError for a file or camera that cannot be opened or goes silent."""
        av = _av()
        options = {"flags": "low_delay"} if self.live else {}
        if self.url.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
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
        except av.FFmpegError as error:
            raise OSError(f"{self.url}: {error.strerror or error}") from error


def _av():
    try:
        import av
    except ImportError:
        raise OSError("video needs PyAV: pip install 'tta-client[camera]'") from None
    return av
