"""Where the experiments get their streams: pictures encoded once, in the feature files of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tta_service.core.labels import LabelSet, TextSpace
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.features import FeatureExtractor

from .streams import Stream

SEVERITY = 3
FEW = 50  # classes: above, a frame is expensive, and less is asked
EXPENSIVE = ("dota", "stata")  # where classes are many: a covariance for each, or a window solved under all of them


@dataclass(frozen=True)
class Ground:
    extractor: FeatureExtractor
    folder: Path  # of what was played
    count: int  # frames of a stream
    long: int  # frames of the long ones; 0: all pictures
    pictures: int  # seen through many views
    tuned: int  # that a prompt is tuned for
    views: int
    shifts: tuple[str, ...]
    texts: dict[str, TextSpace] = field(default_factory=dict)  # by set, once made

    @property
    def sets(self) -> tuple[str, ...]:
        return tuple(self.extractor.sets)

    def cells(self, name: str) -> list[Cell]:
        """The clean pictures first."""
        return [Cell(name), *(Cell(name, shift, SEVERITY) for shift in self.shifts)]

    def few(self, name: str) -> bool:
        return len(self.extractor.sets[name].names) <= FEW

    def affordable(self, name: str, asked: Sequence[str]) -> list[str]:
        """The strategies that may be asked on that set."""
        return [one for one in asked if self.few(name) or one not in EXPENSIVE]

    def first_cells(self, name: str) -> list[Cell]:
        """The clean pictures, and the first shift where the classes are few."""
        return self.cells(name)[: 2 if self.few(name) else 1]

    def stream(self, cell: Cell, count: int, views: int = 1, augment: str = "crop") -> Stream:
        """The first `count` (0: all) of the set's seeded order, the one that every measurement begins with."""
        made = self.extractor.sets[cell.set]
        chosen = made.choose(count or len(made))
        features = self.extractor.rows(cell, augment, views, chosen, lambda n: None)
        rows = torch.from_numpy(np.stack([features.rows(int(i), views) for i in chosen]))
        key = f"{self.extractor.clip.fingerprint} {made.tag} {made.templates} {cell} {augment}{views} {len(chosen)}"
        return Stream(key, rows, made.labels[chosen], self._text(cell.set))

    def _text(self, name: str) -> TextSpace:
        if name not in self.texts:
            made = self.extractor.sets[name]
            self.texts[name] = self.extractor.clip.text_space(LabelSet(made.names, made.templates))
        return self.texts[name]
