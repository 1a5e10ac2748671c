"""A source of pictures from a camera of this machine, through OpenCV."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..statistics import Statistics
from ..types.frames import Frame
from .pictures import import_package
from .video import count_damaged
from .video_reader import MAX_DAMAGED

MAX_SILENCE = 5.0  # seconds without a picture, after which the camera is lost


@dataclass(frozen=True, slots=True)
class WebcamSource:
    """Camera `index`. Iterating raises OSError when it cannot be opened or stops delivering.

    A picture that cannot be read is left out. It is counted in `statistics` as `unreadable` once another one follows.
    """

    index: int
    live: bool = True
    statistics: Statistics = field(default_factory=Statistics, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        cv2 = import_package("cv2", "OpenCV", "a webcam")
        device = cv2.VideoCapture(self.index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        try:
            if not device.isOpened():
                raise OSError(f"there is no camera {self.index}")
            # USB carries the full rate only compressed.
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the oldest
            number = failed = 0
            last_read = time.monotonic()
            while True:
                good, picture = device.read()
                if not good:
                    failed += 1
                    if failed >= MAX_DAMAGED or time.monotonic() - last_read > MAX_SILENCE:
                        raise OSError(f"camera {self.index} delivers no more pictures")
                    continue
                for _ in range(failed):
                    count_damaged(f"camera {self.index}", self.statistics)
                number, failed, last_read = number + 1, 0, time.monotonic()
                yield Frame(number, picture[:, :, ::-1])
                last_read = time.monotonic()
        finally:
            device.release()
