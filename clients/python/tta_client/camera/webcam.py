"""A camera of this machine, through OpenCV."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ..frames import Frame


@dataclass(frozen=True, slots=True)
class Webcam:
    """Camera `index`. Raises OSError when it cannot be opened or stops delivering."""

    index: int
    live: bool = True

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
            number = 0
            while True:
                good, picture = device.read()
                if not good:
                    raise OSError(f"camera {self.index} delivers no more pictures")
                number += 1
                yield Frame(number, picture[:, :, ::-1])
        finally:
            device.release()
