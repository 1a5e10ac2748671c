"""Why do views help here and not there? What single views say, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tta_service.core.catalogue import strategies
from tta_service.maths import entropy

from .finding import Cells, Finding, Gain
from .ground import Ground
from .streams import Played, Stream, play

SUREST = 0.1  # of the views, as `mean` keeps them
FRACTIONS = (0.1, 0.3, 0.5, 1.0)


@dataclass(frozen=True)
class Looked:
    """[n, v] of every view of every picture."""

    right: NDArray[np.float64]
    as_plain: NDArray[np.float64]  # it says what the plain one says
    order: NDArray[np.int64]  # surest first

    @classmethod
    def of(cls, stream: Stream) -> Looked:
        logits = stream.text.scale * stream.rows @ stream.text.features.T  # [n, v, c]
        said = logits.argmax(-1).numpy()
        order = entropy(logits).argsort(dim=-1, stable=True).numpy()
        return cls((said == stream.labels[:, None]).astype(float), (said == said[:, :1]).astype(float), order)

    def surest(self, fraction: float) -> NDArray[np.float64]:
        """[n, k] whether the surest ones are right."""
        kept = max(1, int(self.right.shape[1] * fraction))
        return np.take_along_axis(self.right, self.order[:, :kept], 1)


def single(ground: Ground) -> Finding:
    rows: list[Cells] = []
    said: list[str] = []
    for name in ground.sets:
        for cell in ground.cells(name):
            looked = Looked.of(ground.stream(cell, ground.pictures, ground.views))
            plain, others = looked.right[:, 0], looked.right[:, 1:]
            lost, sure = plain == 0, looked.surest(SUREST)
            better = Gain.of(100 * (sure.mean(1) - plain))
            chosen = Gain.of(100 * (sure.mean(1) - others.mean(1)))
            rows.append(
                {"set": name, "shift": cell.shown, "plain": 100 * float(plain.mean())}
                | {"a crop": 100 * float(others.mean()), "of the surest tenth": 100 * float(sure.mean())}
                | {"surest tenth − plain": better, "surest tenth − a crop": chosen}
                | {"any view right": 100 * float(looked.right.max(1).mean())}
                | {"plain wrong: crops right %": _share(others, lost)}
                | {"crops as wrong as plain %": _share(looked.as_plain[:, 1:], lost)}
                | {"plain right: crops right %": _share(others, ~lost)}
            )
            said.append(
                f"* {name}, {cell.shown}: where plain is wrong a crop is right for {_share(others, lost):.0f} %, where "
                f"it is right a crop is wrong for {100 - _share(others, ~lost):.0f} %; one view of the surest tenth, "
                f"taken alone, {better.word} beside the plain one ({better})."
            )
    done = (
        f"{ground.pictures} pictures a cell through {ground.views} views; each view's own answer, top-1 in %. *Any "
        "view right*: an oracle that picks the view. *Crops as wrong as plain*: of the crops of pictures that the "
        "plain view gets wrong, those with the very same wrong answer."
    )
    return Finding("What do single views say?", done, rows, said)


def _share(values: NDArray[np.float64], some: NDArray[np.bool_]) -> float:
    return 100 * float(values[some].mean()) if some.any() else float("nan")


def means_and_votes(ground: Ground) -> Finding:
    rows: list[Cells] = []
    said: list[str] = []
    for name in ground.sets:
        for cell in ground.cells(name):
            stream = ground.stream(cell, ground.pictures, ground.views)
            row: dict[str, object] = {"set": name, "shift": cell.shown}
            mean = {part: _view_based(ground, stream, "mean", confident=part) for part in FRACTIONS}
            zero = {part: _view_based(ground, stream, "zero", keep=part) for part in FRACTIONS}
            row |= {f"`mean` {part:g}": one.gain for part, one in mean.items()}
            row |= {f"`zero` {part:g}": one.gain for part, one in zero.items()}
            row["`mta`"] = _view_based(ground, stream, "mta").gain
            apart = {part: Gain.of(zero[part].gains - mean[part].gains) for part in FRACTIONS}
            row |= {f"`zero` − `mean` at {part:g}": apart[part] for part in (0.1, 0.3)}
            rows.append(row)
            votes = [f"{part:g} ({one})" for part, one in apart.items() if one.sign]
            best = max(FRACTIONS, key=lambda part: mean[part].gain.mean)
            said.append(
                f"* {name}, {cell.shown}: `mean` is best with {best:g} of the views ({mean[best].gain}); votes differ "
                f"from means of the same views beyond two standard errors at {', '.join(votes) or 'no fraction'}."
            )
    done = (
        "The same pictures; points from zero-shot, paired. At one fraction `zero` counts votes of the very views whose "
        "probabilities `mean` averages."
    )
    return Finding("How many views, and votes or means?", done, rows, said)


def _view_based(ground: Ground, stream: Stream, name: str, **parameters: float) -> Played:
    return play(stream, strategies.build(name, {"views": ground.views, **parameters}), ground.folder)
