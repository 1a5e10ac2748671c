"""The answers of one contender to one stream, in a file: the table can be made anew without playing it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .npz import DAMAGED


@dataclass(frozen=True)
class Run:
    """Frames in the order of the stream."""

    picture: NDArray[np.int64]  # [m] which picture of the set
    label: NDArray[np.int64]  # [m]
    scores: NDArray[np.float32]  # [m, c] the softmax that came back
    zero_shot: NDArray[np.int64]  # [m] the service's un-adapted answer to the same frame
    seconds: NDArray[np.float32]  # [m] in the strategy, waiting not included
    views: NDArray[np.int64]  # [m] rows used

    def __len__(self) -> int:
        return len(self.picture)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half.npz")
        np.savez_compressed(half, **{name: getattr(self, name) for name in self.__dataclass_fields__})
        half.replace(path)

    @classmethod
    def load(cls, path: Path) -> Run:
        with path.open("rb") as file, np.load(file) as held:
            return cls(**{name: held[name] for name in cls.__dataclass_fields__})

    @classmethod
    def is_kept(cls, path: Path, frames: int) -> bool:
        """Whether the file holds so many frames; a damaged one is none."""
        try:
            run = cls.load(path)
            return all(len(getattr(run, name)) == frames for name in cls.__dataclass_fields__)
        except (*DAMAGED, OSError, KeyError, TypeError):
            return False

    def by_picture(self) -> Run:
        """The same, in the order of the pictures: two runs of the same pictures can then be compared frame by frame."""
        order = np.argsort(self.picture, kind="stable")
        return Run(**{name: getattr(self, name)[order] for name in self.__dataclass_fields__})
