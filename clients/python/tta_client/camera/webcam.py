"""A source of pictures from a camera of this machine, through OpenCV."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..statistics import Statistics
from ..types.frames import Frame
from .extras import import_package
from .text import make_printable
from .video import count_damaged
from .video_reader import MAX_DAMAGED

MAX_SILENCE = 5.0  # seconds without a picture, after which the camera is lost
DEVICES = Path("/sys/class/video4linux")
FORMATS = {"mjpeg": "MJPG", "yuyv": "YUYV", "nv12": "NV12", "h264": "H264"}


@dataclass(frozen=True, slots=True)
class Mode:
    """What a camera is asked for; one that cannot do it gives what is nearest."""

    width: int = 0  # 0: its own
    height: int = 0
    fps: float = 0.0
    pixel_format: str = "mjpeg"  # USB carries the full rate only compressed


DEFAULT_MODE = Mode()


@dataclass(frozen=True, slots=True)
class WebcamSource:
    """A camera by its number, its path such as /dev/video2, or (Linux) a part of its name.

    Iterating raises OSError when it cannot be opened or stops delivering. A picture that cannot be read is left out. It
    is counted in `statistics` as `unreadable` once another one follows.
    """

    index: int | str
    live: bool = True
    mode: Mode = DEFAULT_MODE
    statistics: Statistics = field(default_factory=Statistics, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        cv2 = import_package("cv2", "OpenCV", "a webcam")
        name = make_printable(str(self.index))
        device = cv2.VideoCapture(
            find_device(self.index) if isinstance(self.index, str) else self.index,
            cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY,
        )
        try:
            if not device.isOpened():
                raise OSError(f"there is no camera {name}")
            self._set_mode(cv2, device)
            number = failed = 0
            last_read = time.monotonic()
            while True:
                good, picture = device.read()
                if not good:
                    failed += 1
                    if failed >= MAX_DAMAGED or time.monotonic() - last_read > MAX_SILENCE:
                        raise OSError(f"camera {name} delivers no more pictures")
                    continue
                for _ in range(failed):
                    count_damaged(f"camera {name}", self.statistics)
                number, failed, last_read = number + 1, 0, time.monotonic()
                yield Frame(number, picture[:, :, ::-1])
                last_read = time.monotonic()
        finally:
            device.release()

    def _set_mode(self, cv2: Any, device: Any) -> None:
        """The format first: it decides which sizes and rates there are."""
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*FORMATS[self.mode.pixel_format]))
        for setting, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, self.mode.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self.mode.height),
            (cv2.CAP_PROP_FPS, self.mode.fps),
        ):
            if value:
                device.set(setting, value)
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the oldest


def find_device(name: str) -> str:
    """The path of the first camera with the text in its name; a path as it is.

    Raises OSError that names those there are.
    """
    if name.startswith("/"):
        return name
    names = dict[str, str]()
    for entry in sorted(DEVICES.glob("video*/name"), key=lambda entry: int("0" + entry.parent.name[5:])):
        names[f"/dev/{entry.parent.name}"] = entry.read_text(errors="replace").strip()
    for path, found in names.items():
        if name.lower() in found.lower():
            return path
    there = ", ".join(dict.fromkeys(names.values())) or "none"
    raise OSError(f"no camera is called {make_printable(name)!r}; there are: {make_printable(there)}")
