"""Is a replay what the service does to a picture? Some are sent as pixels, and must get the same answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tta_service.core.catalogue import reducers, strategies
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Features, PixelFormat, Raw, Request
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.features import change_picture

from .sweep import Sweep

STRATEGY, VIEWS = "mean", 8
CLOSE = 2e-3  # of a probability: forwards of other sizes round otherwise


class Differs(RuntimeError):
    """The service sees something else than was encoded here."""


def check(study: Sweep, cell: Cell, pictures: int = 4) -> float:
    """The largest difference of a probability. Raises `Differs`."""
    made, chosen = study.set(cell), study.choose(cell)[:pictures]
    rows = study.extractor.rows(cell, "crop", VIEWS, chosen, lambda n: None)
    strategy = strategies.build(STRATEGY, {"views": VIEWS, "confident": 0.5})
    plain = Reduction(reducers.build("none"))
    player, worst = study.player, 0.0
    for i in chosen.tolist():
        pixels = change_picture(made, cell, i)
        raw = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
        sent = Raw(pixels.shape[2], pixels.shape[1], PixelFormat.RGB24, raw)
        asked = Request(sent, LabelSet(made.names, made.templates), strategy, plain, seed=i)
        features = Features(torch.from_numpy(rows.rows(i, VIEWS).copy()))
        both = [player.classify(one).scores.values for one in (asked, replace(asked, image=features))]
        worst = max(worst, float(np.abs(both[0] - both[1]).max()))
    if worst > CLOSE:
        raise Differs(f"{cell}: a probability differs by {worst:.4f} between the picture and its features")
    return worst
