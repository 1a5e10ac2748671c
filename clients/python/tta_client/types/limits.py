"""The service's limits on images and messages, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import make_refusal

RESERVED = 64 << 10  # bytes of a message for all but the image


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of `GetServerInfo`. A limit that the service leaves out is infinite here; the service checks it.

    A raw frame may have min(`image_pixels`, (`message_bytes` − 64 KiB) / bytes per pixel) pixels.
    """

    image_bytes: float = math.inf  # of an encoded file
    image_pixels: float = math.inf
    image_side: float = math.inf  # pixels
    message_bytes: float = math.inf  # gRPC ends the whole call for a longer message

    @classmethod
    def of(cls, limits: Mapping[str, Any]) -> Limits:
        """The limits among `ServerInfo.limits` that are checked here."""
        return cls(**{one.name: limits[one.name] for one in fields(cls) if one.name in limits})

    def check_encoded(self, size: int, path: str) -> None:
        """Checks a file of `size` bytes for the image at `path`. Raises `Refused`."""
        if size > (most := min(self.image_bytes, self._room)):
            raise make_refusal(f"the image has {size} bytes, at most {most:.0f} are allowed", f"{path}.encoded")

    def check_raw(self, width: int, height: int, bytes_per_pixel: int, path: str) -> None:
        """Checks raw pixels for the image at `path`. Raises `Refused`."""
        size = f"the image is {width} × {height} pixels"
        if max(width, height) > self.image_side:
            raise make_refusal(f"{size}, a side may have {self.image_side:.0f}", f"{path}.raw")
        if width * height > (most := min(self.image_pixels, self._room // bytes_per_pixel)):
            raise make_refusal(f"{size}, at most {most:.0f} in all are allowed", f"{path}.raw")

    def check_message(self, message: Any, path: str) -> None:
        """Checks the size of a whole message. Raises `Refused`."""
        if (size := message.ByteSize()) > self.message_bytes:
            raise make_refusal(f"the message has {size} bytes, at most {self.message_bytes:.0f} are allowed", path)

    @property
    def _room(self) -> float:
        return max(self.message_bytes - RESERVED, self.message_bytes // 2)  # half of it where messages are tiny


UNLIMITED = Limits()
