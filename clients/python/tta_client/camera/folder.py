"""Pictures on disk, in the order of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..types.frames import Frame
from .masking import without_secrets
from .text import printable

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, a glob such as `shots/**/*.jpg`, or one picture. Raises FileNotFoundError when nothing is there.

    What is there by that very name is meant, though it reads as a pattern: `img[1].jpg`, or `shots[1]/*.jpg` in the
    folder `shots[1]`. A file that cannot be read goes on as its path: its frame fails with a sentence that names it.
    """

    pattern: str
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        paths = sorted(self._paths())
        if not paths:
            raise FileNotFoundError(
                f"no pictures ({', '.join(PICTURES)}) in {printable(without_secrets(self.pattern))}"
            )
        for number, path in enumerate(paths, 1):
            picture: bytes | Path = path
            with suppress(OSError):  # is_file: nobody may ever write into a pipe
                picture = path.read_bytes() if path.is_file() else path
            yield Frame(number, picture, scene=printable(path.name))

    def _paths(self) -> list[Path]:
        path = Path(self.pattern)
        if path.is_dir():
            found = path.iterdir()
        elif os.path.lexists(path):
            found = [path]
        else:
            found = map(Path, glob.glob(_literal(path), recursive=True))
        return [p for p in found if p.suffix.lower() in PICTURES]


def _literal(path: Path) -> str:
    """A pattern in which what exists stands for itself."""
    there = next((parent for parent in path.parents if parent.exists()), path)
    return os.path.join(glob.escape(str(there)), path.relative_to(there))
