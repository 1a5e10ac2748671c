"""Reads the pictures of one opened video packet by packet, and leaves out those that are damaged."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .packet_loss import MAX_DELAY, PacketLoss

MAX_DAMAGED = 100  # in a row: damaged packets of a camera, or failed reads of a file


class CameraSilent(OSError):
    """A camera is connected, and sends no picture that can be decoded."""


class VideoReader:
    """Iterates the pictures of a container's first video stream, [h, w, 3] uint8 RGB, upright.

    `on_loss` is called for each picture that cannot be decoded or that the decoder calls corrupt (a part is missing). A
    picture that the decoder calls sound is returned even if it refers to a damaged one, as video players do.

    `patience` is for a camera (0: a file, which is read to its end): after so many seconds without a picture, or
    `MAX_DAMAGED` damaged packets in a row, iterating raises `CameraSilent`. A camera's packets before its first key
    frame do not count as lost.
    """

    def __init__(self, container: Any, on_loss: Callable[[], None], patience: float = 0.0) -> None:
        self._container, self._stream = container, container.streams.video[0]
        self._losses = PacketLoss(on_loss, always=self._stream.codec_context.name == "hevc")
        self._on_loss, self._patience, self._has_key = on_loss, patience, not patience
        self._incomplete = deque[int | None](maxlen=MAX_DELAY)  # times of packets that the container calls incomplete
        self._span: tuple[float, float] | None = None  # begin and end of what was read, seconds
        self._packets_read = self._damaged_in_a_row = 0
        self._rotation: Any = ()  # degrees of the last picture; before the first, what none has
        self._matrix: tuple[float, float, float, float] | None = None  # of all pictures since it changed
        self.decoded = 0
        self.position: float | None = None  # of the last picture in the recording, seconds
        self.error = ""  # the message of the last damage

    def __iter__(self) -> Iterator[Any]:
        """Raises av.FFmpegError for errors that are not damage to a packet, such as a timeout."""
        last_picture = time.monotonic()
        for packet in self._packets():
            self._measure(packet)
            if packet.stream.index == self._stream.index:
                pictures = self._decode(packet)
                while pictures:
                    if (pixels := self._pixels(pictures.pop(0))) is not None:
                        yield pixels
                        self._damaged_in_a_row, last_picture = 0, time.monotonic()
            if self._patience and self._damaged_in_a_row >= MAX_DAMAGED:
                raise CameraSilent(f"{MAX_DAMAGED} packets in a row are damaged ({self.error})")
            if self._patience and time.monotonic() - last_picture > self._patience:
                raise CameraSilent(f"no picture for {self._patience:g} s")
        self._losses.finish()

    @property
    def duration(self) -> float:
        """Seconds that the container announces; 0 if it announces none."""
        return max(0, self._container.duration or 0) / 1e6

    @property
    def missing(self) -> float:
        """Announced seconds that did not come; 0 for less than three pictures, which rounding explains."""
        if self._span is None:
            return 0.0
        rate = float(self._stream.average_rate or 25)
        start = self._container.start_time  # the first packets may be lost; then the header alone has it
        begin = self._span[0] if start is None else min(self._span[0], start / 1e6)
        missing = self.duration - (self._span[1] - begin)
        if self._container.format.name == "avi":  # its header counts pictures; the duration of a cut file is a guess
            missing = max(missing, (self._stream.frames - self._packets_read) / rate)
        return missing if missing > 3 / rate else 0.0

    def _packets(self) -> Iterator[Any]:
        """The packets of all streams, because a container is as long as its longest stream."""
        from av.error import InvalidDataError

        failed = 0
        while True:
            try:
                for packet in self._container.demux():
                    failed = 0
                    yield packet
                return
            except InvalidDataError as error:
                self._record_damage(error)
                self._on_loss()
                if (failed := failed + 1) >= MAX_DAMAGED:
                    raise

    def _decode(self, packet: Any) -> list[Any]:
        from av.error import FFmpegError

        self._has_key = self._has_key or packet.is_keyframe
        expected = self._has_key and packet.size and not packet.is_discard
        if expected:
            self._losses.packet_sent(_time(packet), packet.is_keyframe)
        if packet.is_corrupt:
            self._incomplete.append(_time(packet))
        try:
            return packet.decode()
        except FFmpegError as error:
            self._record_damage(error)
            if expected:
                self._losses.packet_failed(_time(packet))
            return []

    def _pixels(self, picture: Any) -> Any:
        """None for a damaged picture. The decoder can reuse its buffer when this returns."""
        self._losses.picture_decoded(picture.pts)
        try:
            if picture.is_corrupt or picture.pts in self._incomplete:
                raise ValueError("a part of it is missing")
            pixels = picture.to_ndarray(format="rgb24")
            if (rotation := getattr(picture, "rotation", None)) != self._rotation or rotation is None:
                self._rotation, self._matrix = rotation, read_matrix(picture)
            pixels = pixels if self._matrix is None else rotate_upright(pixels, self._matrix)
        except ValueError as error:  # FFmpeg's errors about data are ValueErrors too
            self._record_damage(error)
            self._on_loss()
            return None
        self.decoded, self.position = self.decoded + 1, picture.time
        return pixels

    def _record_damage(self, error: object) -> None:
        self._damaged_in_a_row += 1
        self.error = str(getattr(error, "strerror", "") or error)

    def _measure(self, packet: Any) -> None:
        if (start := _time(packet)) is None or not packet.time_base:
            return
        begin, end = (float(t * packet.time_base) for t in (start, start + (packet.duration or 0)))
        self._packets_read += packet.stream.index == self._stream.index
        span = self._span or (begin, end)
        self._span = min(begin, span[0]), max(end, span[1])


def _time(packet: Any) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def read_matrix(picture: Any) -> tuple[float, float, float, float] | None:
    """The display matrix of a decoded picture: (x, y) is shown at (a x + c y, b x + d y), up to a shift.

    None: as it is. ISO 14496-12, 8.3.2.3. PyAV's side data and their picture refer to each other, and so the picture's
    memory stays until Python looks for cycles: ask for few.
    """
    import numpy as np
    from av.sidedata.sidedata import Type

    matrix = picture.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return None
    a, b, _, c, d = (float(n) for n in np.frombuffer(matrix, np.int32)[:5])
    return a, b, c, d


def rotate_upright(pixels: Any, matrix: tuple[float, float, float, float]) -> Any:
    """`pixels` [h, w, 3], rotated and flipped as a display matrix says.

    An angle between two quarter turns is rounded to the nearer one, as video players do.
    """
    import numpy as np

    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
