"""Pictures on disk, in the order of their names."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..frames import Frame

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, a glob such as `shots/**/*.jpg`, or one picture. Raises FileNotFoundError when nothing is there."""

    pattern: str
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        paths = sorted(self._paths())
        if not paths:
            raise FileNotFoundError(f"no pictures ({', '.join(PICTURES)}) in {self.pattern}")
        for number, path in enumerate(paths, 1):
            yield Frame(number, path.read_bytes(), scene=path.name)

    def _paths(self) -> list[Path]:
        path = Path(self.pattern)
        found = path.iterdir() if path.is_dir() else map(Path, glob.glob(self.pattern, recursive=True))
        return [p for p in found if p.suffix.lower() in PICTURES and p.is_file()]
