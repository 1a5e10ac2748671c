"""The pictures of one opened video, packet by packet: a damaged one is left out and told, the others are shown."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .losses import LATE, Losses
from .upright import upright

MANY = 100  # in a row: damaged packets of a camera, or failures to find the next packet of a file


class Gone(OSError):
    """A camera is there, and shows nothing."""


class Reel:
    """Iterates the pictures of a container's first video stream, [h, w, 3] uint8 RGB, upright.

    `lost` is called for each that cannot be decoded, or that the decoder calls corrupt: half of it is missing. One that
    the decoder vouches for is shown even if what it builds on was damaged, as players do.

    `patience` is for a camera (0: a file, which is read to its end): so many seconds without a picture, or `MANY`
    damaged packets in a row, are `Gone`; and what comes before its first key frame is nobody's loss.
    """

    def __init__(self, container: Any, lost: Callable[[], None], patience: float = 0.0) -> None:
        self._container, self._stream = container, container.streams.video[0]
        self._losses = Losses(lost, always=self._stream.codec_context.name == "hevc")
        self._lost, self._patience, self._joined = lost, patience, not patience
        self._cut = deque[int | None](maxlen=LATE)  # times of packets that the container itself calls incomplete
        self._clock: tuple[float, float] | None = None  # begin and end of what came, seconds
        self._counted = self._in_a_row = 0
        self.shown = 0
        self.error = ""  # what was said of the last damage

    def __iter__(self) -> Iterator[Any]:
        """Raises av.FFmpegError for what is no damage to a packet, such as a timeout."""
        seen = time.monotonic()
        for packet in self._packets():
            self._measure(packet)
            if packet.stream.index == self._stream.index:
                pictures = self._decode(packet)
                while pictures:
                    if (pixels := self._pixels(pictures.pop(0))) is not None:
                        yield pixels
                        self._in_a_row, seen = 0, time.monotonic()
            if self._patience and self._in_a_row >= MANY:
                raise Gone(f"{MANY} packets in a row are damaged ({self.error})")
            if self._patience and time.monotonic() - seen > self._patience:
                raise Gone(f"no picture for {self._patience:g} s")
        self._losses.end()

    @property
    def duration(self) -> float:
        """Seconds that the container promises; 0: it does not say."""
        return max(0, self._container.duration or 0) / 1e6

    @property
    def missing(self) -> float:
        """Seconds of these that did not come; less than three pictures are a matter of rounding."""
        if self._clock is None:
            return 0.0
        rate = float(self._stream.average_rate or 25)
        start = self._container.start_time  # packets that told what is in it may be gone
        begin = self._clock[0] if start is None else min(self._clock[0], start / 1e6)
        missing = self.duration - (self._clock[1] - begin)
        if self._container.format.name == "avi":  # its header counts pictures; the duration of what was cut is a guess
            missing = max(missing, (self._stream.frames - self._counted) / rate)
        return missing if missing > 3 / rate else 0.0

    def _packets(self) -> Iterator[Any]:
        """Of all streams: a container is as long as its longest."""
        from av.error import InvalidDataError

        failed = 0
        while True:
            try:
                for packet in self._container.demux():
                    failed = 0
                    yield packet
                return
            except InvalidDataError as error:
                self._damage(error)
                self._lost()
                if (failed := failed + 1) >= MANY:
                    raise

    def _decode(self, packet: Any) -> list[Any]:
        from av.error import FFmpegError

        self._joined = self._joined or packet.is_keyframe
        real = self._joined and packet.size and not packet.is_discard
        if real:
            self._losses.sent(_time(packet), packet.is_keyframe)
        if packet.is_corrupt:
            self._cut.append(_time(packet))
        try:
            return packet.decode()
        except FFmpegError as error:
            self._damage(error)
            if real:
                self._losses.failed(_time(packet))
            return []

    def _pixels(self, picture: Any) -> Any:
        """None for one that is damaged. The decoder has its buffer back when this returns."""
        self._losses.came(picture.pts)
        try:
            if picture.is_corrupt or picture.pts in self._cut:
                raise ValueError("a part of it is missing")
            pixels = upright(picture.to_ndarray(format="rgb24"), picture)
        except ValueError as error:  # as are FFmpeg's own that speak of data
            self._damage(error)
            self._lost()
            return None
        self.shown += 1
        return pixels

    def _damage(self, error: object) -> None:
        self._in_a_row += 1
        self.error = str(getattr(error, "strerror", "") or error)

    def _measure(self, packet: Any) -> None:
        if (start := _time(packet)) is None or not packet.time_base:
            return
        begin, end = (float(t * packet.time_base) for t in (start, start + (packet.duration or 0)))
        self._counted += packet.stream.index == self._stream.index
        known = self._clock or (begin, end)
        self._clock = min(begin, known[0]), max(end, known[1])


def _time(packet: Any) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts
