"""A camera of this machine, through OpenCV."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..statistics import Statistics
from ..types.frames import Frame
from .reel import MANY
from .video import warn_left_out

SILENCE = 5.0  # seconds without a picture


@dataclass(frozen=True, slots=True)
class Webcam:
    """Camera `index`. Raises OSError when it cannot be opened or stops delivering. A picture that cannot be read is
    left out, and counted in `statistics` as `unreadable` when another one follows."""

    index: int
    live: bool = True
    statistics: Statistics = field(default_factory=Statistics, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        try:
            import cv2
        except ImportError:
            raise OSError("a webcam needs OpenCV: pip install 'tta-client[camera]'") from None
        device = cv2.VideoCapture(self.index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        try:
            if not device.isOpened():
                raise OSError(f"there is no camera {self.index}")
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # full rate over USB
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the oldest
            number = failed = 0
            seen = time.monotonic()
            while True:
                good, picture = device.read()
                if not good:
                    failed += 1
                    if failed >= MANY or time.monotonic() - seen > SILENCE:
                        raise OSError(f"camera {self.index} delivers no more pictures")
                    continue
                for _ in range(failed):
                    warn_left_out(f"camera {self.index}", self.statistics)
                number, failed, seen = number + 1, 0, time.monotonic()
                yield Frame(number, picture[:, :, ::-1])
                seen = time.monotonic()
        finally:
            device.release()
