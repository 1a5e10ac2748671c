"""Pictures with labels: files, a packed npz, or arrays. Files are read when they are wanted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..core.request import Encoded
from ..images.decode import decode
from ..images.files import ImageLimits
from .folders import SUFFIXES, Labelled

PLAIN = ("a photo of a {}.",)
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=200_000_000, max_side=65_535)


@dataclass(frozen=True)
class PictureSet:
    """`file(i)` gives the bytes of picture i as they lie on the disk, `where(i)` what a person finds it by."""

    name: str
    names: tuple[str, ...]  # of the classes, distinct
    labels: NDArray[np.int64]  # [n]
    file: Callable[[int], bytes]
    templates: tuple[str, ...] = PLAIN
    where: Callable[[int], str] = str

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, i: int) -> Tensor:
        """[3, h, w] uint8, decoded as the service does. Raises `BadImage`, OSError."""
        return decode_whole(Encoded(self.file(i)))

    def with_templates(self, templates: Sequence[str]) -> PictureSet:
        """The same pictures, asked about with other templates."""
        return replace(self, templates=tuple(templates))

    @cached_property
    def digests(self) -> dict[int, str]:
        """Of the pictures that were asked for with `digest`."""
        return {}

    def digest(self, i: int) -> str:
        """The hash of picture i's bytes, 16 hex digits. Raises OSError."""
        if i not in self.digests:
            self.digests[i] = hashlib.sha256(self.file(i)).hexdigest()[:16]
        return self.digests[i]

    @property
    def tag(self) -> str:
        """A name for a folder: two sets of the same name and other pictures must not share answers."""
        whole = repr((self.names, self.labels.tobytes()))
        return f"{self.name.replace('/', '-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"

    def choose(self, count: int, seed: int = 0) -> NDArray[np.int64]:
        """The first `count` of a seeded order of all pictures: a larger choice begins with a smaller one."""
        return np.random.default_rng(seed).permutation(len(self))[:count]


def decode_whole(image: Encoded) -> Tensor:
    """[3, h, w] uint8, at its own size. Raises `BadImage`."""
    return decode(image, LIMITS)


def of_files(name: str, files: Sequence[Path], labels: Iterable[int], names: Sequence[str]) -> PictureSet:
    """Raises ValueError when there is nothing in it."""
    if not files:
        raise ValueError(f"{name}: there are no pictures ({', '.join(sorted(SUFFIXES))})")
    whole = np.fromiter(labels, np.int64, len(files))
    return PictureSet(
        name, make_distinct(names), whole, lambda i: files[i].read_bytes(), PLAIN, lambda i: str(files[i])
    )  # fmt: skip


def of_labelled(name: str, found: Labelled) -> PictureSet:
    """What `folders` read. Raises ValueError when there is nothing in it."""
    return of_files(name, *found)


def of_pictures(
    name: str, picture: Callable[[int], Any], labels: NDArray[np.int64], names: Sequence[str]
) -> PictureSet:
    """Decoded pictures, PIL images or uint8 arrays [h, w] or [h, w, 3 or 4]: their files are lossless PNGs."""

    def file(i: int) -> bytes:
        given = picture(i)
        made = given if isinstance(given, Image.Image) else Image.fromarray(np.asarray(given))
        made = made if made.mode in ("L", "RGB") else made.convert("RGB")
        buffer = io.BytesIO()
        made.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return PictureSet(name, make_distinct(names), labels, file, PLAIN, lambda i: f"{name}, picture {i}")


def make_distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names with blanks for underscores; a name that comes again gets a blank behind it.

    ImageNet's list has two `missile` and two `sunglasses`, and the papers keep both columns. A label set refuses equal
    names; the blank is gone when the tokenizer has tidied the sentence up.
    """
    found: list[str] = []
    for name in names:
        name = name.replace("_", " ").strip()
        while name in found:
            name += " "
        found.append(name)
    return tuple(found)
