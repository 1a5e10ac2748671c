"""What a frame costs on an idle machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.replay import Take
from tta_service.evaluate.runs import Run
from tta_service.evaluate.study import features_of, make_frame_reader

from .sweep import Sweep

FRAMES = 30  # the first third warms up


def alone(study: Sweep, cells: Mapping[str, Cell], contenders: tuple[Contender, ...]) -> dict[tuple[str, str], float]:
    """Median seconds of adapt by set and contender: one stream at a time, each frame after the last one's answer.

    Kept like any run, so that a table made anew tells the same.
    """
    found: dict[tuple[str, str], float] = {}
    with tqdm(total=len(cells) * len(contenders) * FRAMES, unit="frame", desc="alone") as bar:
        for name, cell in cells.items():
            rows = study.features(cell, contenders)
            for one in contenders:
                picture = study.pictures(cell, one, contenders)[:FRAMES]
                path = study.path(cell, one, f"alone{len(picture)}")
                feed = make_frame_reader(features_of(one, rows), picture, one.needs.views)
                take = Take(one, feed, picture, study.set(cell).labels[picture], path)
                study.play(cell, [take], bar.update)
                seconds = Run.load(path).seconds
                found[name, str(one)] = float(np.median(seconds[len(seconds) // 3 :]))
    return found
