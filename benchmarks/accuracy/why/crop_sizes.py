"""Is it the size of the crops?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from tta_service.core.catalogue import strategies
from tta_service.images import random_crops as crops
from tta_service.images.random_crops import uniforms

from .finding import Cells, Finding, Gain
from .ground import Ground
from .streams import Played, Stream, play
from .views import SUREST, Looked

AREAS = (0.08, 0.3, 0.6, 1.01)  # of the picture: crops are drawn from all of it
ALIKE = 8  # crops of one size that are averaged


def sizes(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for name in ground.sets:
        area = areas(ground, name)
        for cell in ground.cells(name):
            stream = ground.stream(cell, ground.pictures, ground.views)
            looked = Looked.of(stream)
            row: dict[str, object] = {"set": name, "shift": cell.shown, "plain": 100 * float(looked.right[:, 0].mean())}
            single, averaged = list[Gain](), list[Gain]()
            for low, high in pairwise(AREAS):
                inside = (area >= low) & (area < high)
                single.append(Gain.of(100 * _by_picture(looked.right[:, 1:] - looked.right[:, :1], inside)))
                averaged.append(_average(stream, inside).gain)
                row[f"a crop of {low:.0%} … {min(1, high):.0%}"] = single[-1]
            for (low, high), gain in zip(pairwise(AREAS), averaged):
                row[f"`mean` over {ALIKE} of {low:.0%} … {min(1, high):.0%}"] = gain
            row["area of all %"] = 100 * float(area.mean())
            row["of the surest tenth %"] = 100 * _surest(looked, area)
            rows.append(row)
            conclusions.append(
                f"* {name}, {cell.shown}: the mean over {ALIKE} of the smallest crops {averaged[0].word} "
                f"({averaged[0]}), over as many of the largest it {averaged[-1].word} ({averaged[-1]})."
            )
    done = (
        "*A crop*: a single crop's top-1 less the plain view's, by how much of the picture it shows. *`mean`*: points "
        f"from zero-shot of the surest half of {ALIKE} crops of that size and the plain view. A small crop is a "
        "magnification: of the thing, and of the damage. *Area*: of all crops, and of those among the surest tenth."
    )
    return Finding("Is it the size of the crops?", done, rows, conclusions)


def areas(ground: Ground, name: str) -> NDArray[np.float64]:
    """[n, v − 1] the share of the picture that each crop shows; drawn as the views were, from (picture, view)."""
    made = ground.extractor.sets[name]
    found = []
    for i in made.choose(ground.pictures).tolist():
        height, width = made.picture(i).shape[-2:]
        boxes = crops.crop_boxes(height, width, uniforms(i, ground.views, crops.DRAWS))
        found.append(boxes[1:, 2] * boxes[1:, 3] / (height * width))
    return np.stack(found)


def _average(stream: Stream, inside: NDArray[np.bool_]) -> Played:
    """`mean` over the plain view and the first crops inside, of the pictures that have so many."""
    some = np.flatnonzero(inside.sum(1) >= ALIKE)
    places = np.array([[0, *(1 + np.flatnonzero(inside[i])[:ALIKE])] for i in some], np.int64).reshape(-1, 1 + ALIKE)
    rows = stream.rows[torch.from_numpy(some)[:, None], torch.from_numpy(places)]
    part = Stream("", rows, stream.labels[some], stream.text)
    return play(part, strategies.build("mean", {"views": 1 + ALIKE, "confident": 0.5}))


def _surest(looked: Looked, area: NDArray[np.float64]) -> float:
    """Mean area of the crops among the surest; the plain view is none."""
    whole = np.concatenate([np.full((len(area), 1), np.nan), area], 1)
    kept = looked.order[:, : max(1, int(looked.order.shape[1] * SUREST))]
    chosen = np.take_along_axis(whole, kept, 1)
    return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")


def _by_picture(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Means over the views inside, of the pictures that have some."""
    count = inside.sum(1)
    return (values * inside).sum(1)[count > 0] / count[count > 0]
