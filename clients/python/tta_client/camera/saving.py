"""Keeps what was seen: an annotated video, and single pictures for a data set."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..types.answers import FrameAnswer
from ..types.frames import Frame
from .annotate import annotate
from .events import EventDetector
from .extras import import_package
from .masking import mask_secrets
from .pictures import read_picture_file, to_rgb
from .results import Result, to_json
from .screens import json_line

CODECS = "libx264", "libopenh264", "mpeg4"  # the first that FFmpeg has here
FRAGMENTS = {"movflags": "empty_moov+default_base_moof", "frag_duration": "2000000", "flush_packets": "1"}
CLOCK = 90_000  # ticks of a second
WHEN = "changed", "deferred", "asked", "all"


class VideoSaver:
    """An annotated MP4 of the frames that were answered, at their own times: those of the recording, else of capture.

    All pictures have the size of the first, into which others are fitted. A file that is not finished, because the
    process was killed, can be played up to its last two seconds. Raises OSError when it cannot be written.
    """

    def __init__(self, file: str) -> None:
        self._av = import_package("av", "PyAV", "--save")
        self._file, self._last = os.path.expanduser(file), -1
        self._begin: float | None = None
        with self._as_os_error():
            self._out = self._av.open(f"file:{self._file}", "w", format="mp4", options=FRAGMENTS)
        self._stream: Any = None

    def take(self, result: Result, frame: Frame | None) -> None:
        """Draws and writes one frame."""
        if frame is None:
            return
        picture = self._av.VideoFrame.from_ndarray(self._fit(annotate(to_rgb(frame), result)), format="rgb24")
        time = frame.captured if frame.position is None else frame.position
        self._begin = time if self._begin is None else self._begin
        self._last = max(self._last + 1, round((time - self._begin) * CLOCK))
        picture.pts, picture.time_base = self._last, Fraction(1, CLOCK)
        with self._as_os_error():
            self._out.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Finishes the file."""
        with self._as_os_error():
            if self._stream is not None:
                self._out.mux(self._stream.encode())
            self._out.close()

    def _fit(self, pixels: Any) -> Any:
        import numpy as np
        from PIL import Image, ImageOps

        if self._stream is None:
            self._stream = self._open_stream(pixels.shape[1], pixels.shape[0])
        size = self._stream.width, self._stream.height
        if pixels.shape[1::-1] == size:
            return pixels
        return np.asarray(ImageOps.pad(Image.fromarray(pixels), size, Image.Resampling.BILINEAR))

    def _open_stream(self, width: int, height: int) -> Any:
        codec = next((one for one in CODECS if one in self._av.codecs_available), None)
        if codec is None:
            raise OSError(f"--save {self._file}: FFmpeg has none of {', '.join(CODECS)} here")
        # without pictures that wait for later ones, the first time is 0
        options = {"preset": "veryfast", "crf": "23", "bf": "0"} if codec == "libx264" else {}
        stream = self._out.add_stream(codec, rate=Fraction(25), options=options)
        stream.width, stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)  # 4:2:0 halves them
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, CLOCK)
        stream.codec_context.time_base = Fraction(1, CLOCK)
        return stream

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            raise OSError(f"--save {self._file}: {error.strerror or error}") from None


class FrameSaver:
    """Pictures of some frames, in a folder for each label, with a JSON beside each: a data set as ImageFolder reads it.

    `when` says of which: those with which the label changes, those that are deferred, those that the service asks
    about, or all. A picture file stays as it is; others become JPEGs of quality 95.
    """

    def __init__(self, folder: str, when: tuple[str, ...], camera: str, smoothed: bool) -> None:
        """Raises OSError if the folder cannot be made."""
        self._folder, self._when, self._camera = Path(os.path.expanduser(folder)), when, camera
        self._detector = EventDetector(camera, smoothed=smoothed)
        with self._blame_option():
            self._folder.mkdir(parents=True, exist_ok=True)

    def take(self, result: Result, frame: Frame | None) -> None:
        """Raises OSError when it cannot be written."""
        reasons = self._reasons(result)
        if frame is None or not reasons or not isinstance(result, FrameAnswer):
            return
        with self._blame_option():
            self._write(frame, result, reasons)

    def _write(self, frame: Frame, result: FrameAnswer, reasons: list[str]) -> None:
        time = datetime.fromtimestamp(frame.wall_ns / 1e9, UTC)
        folder = self._folder / _to_name(result.answer.label)
        folder.mkdir(exist_ok=True)
        data, ending = _encode(frame)
        path = folder / f"{_to_name(self._camera)}-{time:%Y%m%dT%H%M%S.%f}-{frame.frame_id}{ending}"
        entry = {"camera": self._camera, "time": time.isoformat(), "position": frame.position, "because": reasons}
        path.with_suffix(".json").write_text(json.dumps(json.loads(json_line(entry | to_json(result))), indent=1))
        path.with_suffix(".part").write_bytes(data)
        path.with_suffix(".part").replace(path)

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    @contextmanager
    def _blame_option(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(f"--save-frames {self._folder}: {error.strerror or error}") from None

    def _reasons(self, result: Result) -> list[str]:
        changed = any(event.event == "changed" for event in self._detector.on_result(result))
        if not isinstance(result, FrameAnswer):
            return []
        confidence = result.answer.confidence
        true = {
            "changed": changed,
            "deferred": confidence is not None and confidence.decision == "defer",
            "asked": result.answer.asked,
            "all": True,
        }
        return [reason for reason in self._when if true[reason]]


def parse_when(text: str) -> tuple[str, ...]:
    """The words of --when. Raises ValueError."""
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if word not in WHEN:
            raise ValueError(f"--when is of {', '.join(WHEN)}, not {mask_secrets(word)!r}")
    return words


def _encode(frame: Frame) -> tuple[bytes, str]:
    """The bytes of a picture file and its ending."""
    if (data := read_picture_file(frame.image)) is not None:
        return data, ".png" if data.startswith(b"\x89PNG") else ".webp" if data[8:12] == b"WEBP" else ".jpg"
    import cv2

    pixels = to_rgb(frame)[:, :, ::-1]
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes(), ".jpg"


def _to_name(text: str) -> str:
    """A label as a folder's name that every system takes."""
    return re.sub(r"[^\w .()+-]+|^\.+|[. ]+$", "_", text)[:100] or "_"
