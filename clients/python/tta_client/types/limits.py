"""How large a picture, and a whole message, may be for the service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import make_refusal

REST = 64 << 10  # bytes of a message that are kept free for all but the image


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service tells of itself; what it does not tell is left to it to judge.

    A raw frame may have min(`image_pixels`, (`message_bytes` − 64 KiB) / bytes per pixel) pixels.
    """

    image_bytes: float = math.inf  # of an encoded file
    image_pixels: float = math.inf
    image_side: float = math.inf  # pixels
    message_bytes: float = math.inf  # a longer message would end the whole call

    @classmethod
    def of(cls, limits: Mapping[str, Any]) -> Limits:
        """Those of `ServerInfo.limits`."""
        return cls(**{one.name: limits[one.name] for one in fields(cls) if one.name in limits})

    def check_encoded(self, size: int, path: str) -> None:
        """A file of `size` bytes, in the image at `path`. Raises `Refused`."""
        if size > (most := min(self.image_bytes, self._room)):
            raise make_refusal(f"the image has {size} bytes, at most {most:.0f} are allowed", f"{path}.encoded")

    def check_raw(self, width: int, height: int, bytes_per_pixel: int, path: str) -> None:
        """Pixels as they are, in the image at `path`. Raises `Refused`."""
        size = f"the image is {width} × {height} pixels"
        if max(width, height) > self.image_side:
            raise make_refusal(f"{size}, a side may have {self.image_side:.0f}", f"{path}.raw")
        if width * height > (most := min(self.image_pixels, self._room // bytes_per_pixel)):
            raise make_refusal(f"{size}, at most {most:.0f} in all are allowed", f"{path}.raw")

    def check_message(self, message: Any, path: str) -> None:
        """A whole message, whose image is small enough. Raises `Refused`."""
        if (size := message.ByteSize()) > self.message_bytes:
            raise make_refusal(f"the message has {size} bytes, at most {self.message_bytes:.0f} are allowed", path)

    @property
    def _room(self) -> float:
        return max(self.message_bytes - REST, self.message_bytes // 2)  # the latter where a message is tiny


UNLIMITED = Limits()
