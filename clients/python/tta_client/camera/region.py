"""The part of a frame that is looked at: a crop, and a polygon beyond which everything is gray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..types.frames import Features, Frame, open_frames
from .pictures import NotAPicture, to_rgb

GRAY = 124, 116, 104  # ImageNet's mean, which says least to a model


@dataclass(frozen=True, slots=True)
class Region:
    """`crop` is left, top, width and height, and `polygon` a list of corners x, y of the uncropped frame.

    All are shares of the frame, 0 to 1, so that another resolution changes nothing.
    """

    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    polygon: tuple[tuple[float, float], ...] = ()

    def __bool__(self) -> bool:
        return self != Region()

    def apply(self, pixels: Any) -> Any:
        """The part of [h, w, 3] uint8 RGB, [h', w', 3], as a copy where something is covered."""
        import cv2
        import numpy as np

        height, width = pixels.shape[:2]
        if self.polygon:
            corners = np.round(np.array(self.polygon) * (width, height)).astype(np.int32)
            inside = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners], 1)
            pixels = np.where(inside[..., None], pixels, np.array(GRAY, np.uint8))
        left, top, wide, high = self.crop
        x, y = min(round(left * width), width - 1), min(round(top * height), height - 1)
        return pixels[y : max(y + 1, round((top + high) * height)), x : max(x + 1, round((left + wide) * width))]


def parse_region(crop: str, polygon: str) -> Region:
    """Of --crop and --mask. Raises ValueError."""
    left, top, wide, high = box = _read_shares(crop, 4, "--crop", "LEFT,TOP,WIDTH,HEIGHT") if crop else Region().crop
    if min(wide, high) <= 0 or left + wide > 1 + 1e-9 or top + high > 1 + 1e-9:
        raise ValueError(f"--crop is LEFT,TOP,WIDTH,HEIGHT within the frame, as shares of it, not {crop!r}")
    corners = tuple(_read_shares(corner, 2, "--mask", "X,Y X,Y X,Y …") for corner in polygon.split())
    if polygon and len(corners) < 3:
        raise ValueError(f"--mask is the corners of a polygon, X,Y X,Y X,Y …, not {polygon!r}")
    return Region(box, corners)  # type: ignore[arg-type] # their lengths are checked


def _read_shares(text: str, number: int, option: str, form: str) -> tuple[float, ...]:
    try:
        shares = tuple(map(float, text.split(",")))
    except ValueError:
        shares = (-1.0,)
    if not all(0 <= share <= 1 for share in shares) or len(shares) != number:
        raise ValueError(f"{option} is {form}, each from 0 to 1, not {text!r}")
    return shares


def apply_region(frames: Iterable[Frame], region: Region) -> Iterator[Frame]:
    """The same frames, cut. What is no picture stays as it is: the service reports it."""
    with open_frames(frames) as source:
        for frame in source:
            if not isinstance(frame.image, Features):
                with suppress(NotAPicture):
                    frame = replace(frame, image=region.apply(to_rgb(frame)))
            yield frame
