"""A source of picture files, in the order of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..types.frames import Frame
from .masking import mask_secrets
from .text import make_printable

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The pictures of a folder, of a glob such as `shots/**/*.jpg`, or one picture.

    A name that exists is no pattern: `img[1].jpg`, or the folder `shots[1]` of `shots[1]/*.jpg`. Iterating
    raises FileNotFoundError when there is no picture.
    """

    pattern: str
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        paths = sorted(self.paths())
        if not paths:
            raise FileNotFoundError(
                f"no pictures ({', '.join(PICTURES)}) in {make_printable(mask_secrets(self.pattern))}"
            )
        for number, path in enumerate(paths, 1):
            yield read_frame(number, path)

    def count(self) -> int:
        """The number of pictures."""
        return len(self.paths())

    def paths(self) -> list[Path]:
        """The pictures that are there now. Raises OSError."""
        path = Path(self.pattern)
        if path.is_dir():
            files = path.iterdir()
        elif os.path.lexists(path):
            files = [path]
        else:
            files = map(Path, glob.glob(_escape_existing(path), recursive=True))
        return [p for p in files if p.suffix.lower() in PICTURES]


def read_frame(number: int, path: Path) -> Frame:
    """The frame of a picture file. One that cannot be read has its path, and so fails with an error that names it."""
    picture: bytes | Path = path
    with suppress(OSError):  # only regular files: reading a pipe may block without end
        picture = path.read_bytes() if path.is_file() else path
    return Frame(number, picture, scene=make_printable(path.name))


def _escape_existing(path: Path) -> str:
    """The pattern, in which the folder that exists stands for itself."""
    folder = next((parent for parent in path.parents if parent.exists()), path)
    return os.path.join(glob.escape(str(folder)), path.relative_to(folder))
