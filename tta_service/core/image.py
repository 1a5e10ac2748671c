"""The image of a request: a file, a raw frame, or features that the caller has made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG, PNG or WebP file."""

    data: bytes


class PixelFormat(StrEnum):
    """How the bytes of a raw frame become pixels."""

    RGB24 = "RGB24"
    BGR24 = "BGR24"
    GRAY8 = "GRAY8"
    NV12 = "NV12"


@dataclass(frozen=True, slots=True)
class Raw:
    """Raw pixels, rows top to bottom without padding."""

    width: int
    height: int
    format: PixelFormat
    pixels: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """View embeddings made on the device, [v, d], row 0 the plain view, finite and of unit norm."""

    rows: Tensor
