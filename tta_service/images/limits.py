"""Bounds of what may be decoded: the bytes and pixels that a server allows."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import BadImage


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest images that are accepted. `max_bytes` bounds encoded files; pixels bound raw frames too."""

    max_bytes: int = 8 << 20
    max_pixels: int = 16_000_000
    max_side: int = 8192

    def check_bytes(self, count: int) -> None:
        """Raises `BadImage` for an encoded file that is empty or too long."""
        if not count:
            raise BadImage("the image is empty", "image")
        if count > self.max_bytes:
            raise BadImage(f"the image has {count} bytes, at most {self.max_bytes} are allowed", "image")

    def check_size(self, width: int, height: int) -> None:
        """Raises `BadImage` for a picture without pixels, or with too many."""
        size = f"the image is {width} × {height} pixels"
        if width < 1 or height < 1:
            raise BadImage(size, "image")
        if max(width, height) > self.max_side:
            raise BadImage(f"{size}, a side may have {self.max_side}", "image")
        if width * height > self.max_pixels:
            raise BadImage(f"{size}, at most {self.max_pixels} in all are allowed", "image")


DEFAULT_LIMITS = ImageLimits()
