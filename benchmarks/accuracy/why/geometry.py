"""Is it how the features lie? Cosines as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service.core.catalogue import strategies
from tta_service.maths import unit

from .finding import Cells, Finding, Gain
from .ground import Ground
from .streams import Stream

PAIRED = 2000  # pictures whose cosines and class means are taken, at most


def cosines(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    tda: Any = strategies.build("tda")
    for name in ground.sets:
        for cell in ground.cells(name):
            stream = ground.stream(cell, PAIRED if cell.shift == "none" else ground.count)
            same, other = pairs(stream)
            near, far = median(same), median(other)
            others = by_others(stream)
            right = (stream.plain().argmax(-1).numpy() == stream.labels).astype(float)
            rows.append(
                {"set": name, "shift": cell.shown, "pictures": len(stream)}
                | {"same class": _spread(same), "other classes": _spread(other)}
                | {"`tda` adds for one of the class": float(tda.alpha * np.exp(tda.beta * (near - 1)))}
                | {
                    "of another": float(tda.alpha * np.exp(tda.beta * (far - 1))),
                    "zero-shot top-1": 100 * float(right.mean()),
                }
                | {"mean of the others of its class": 100 * float(others.mean())}
                | {"difference": Gain.of(100 * (others - right))}
                | {"outside the text's span %": 100 * float(outside(stream).mean())}
            )
            conclusions.append(
                f"* {name}, {cell.shown}: a frame that was just written adds {tda.alpha:g} to its own class, "
                f"{np.exp(tda.beta * (1 - near)):.0f} times what another of its class adds (median)."
            )
    done = (
        "Cosines between pictures: median (10 % … 90 %), and what a cached picture of that cosine "
        "adds to a logit in `tda`, α·exp(−β·(1 − cos)). *Mean of the others of its class*: top-1 of the nearest class "
        "mean by cosine, true labels, the picture itself left out: what a memory without error could say without any "
        "text. *Outside the text's span*: the share of a feature's squared length that no text feature sees."
    )
    return Finding("How do the images lie?", done, rows, conclusions)


def _spread(values: NDArray[np.floating]) -> str:
    if not len(values):
        return ""
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.2f} ({low:.2f} … {high:.2f})"


def median(values: NDArray[np.floating]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def pairs(stream: Stream) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines of all pairs of one class, and of all others."""
    x, y = stream.rows[:, 0], stream.labels
    cosine, above = (x @ x.T).numpy(), np.triu(np.ones((len(y), len(y)), bool), 1)
    same = y[:, None] == y
    return cosine[same & above], cosine[~same & above]


def by_others(stream: Stream) -> NDArray[np.float64]:
    """[n] 1 where the nearest class mean is the right one; a picture is left out of its own class's mean."""
    x, y = stream.rows[:, 0], torch.from_numpy(stream.labels)
    sums = torch.zeros(len(stream.text.features), x.shape[1]).index_add_(0, y, x)
    near = x @ unit(sums).T
    near[torch.arange(len(y)), y] = (x * unit(sums[y] - x)).sum(-1)
    return (near.argmax(-1) == y).double().numpy()


def outside(stream: Stream) -> Tensor:
    """[n] squared length of what is orthogonal to all text features."""
    return split_by_text_span(stream)[1].square().sum(-1)


def split_by_text_span(stream: Stream) -> tuple[Tensor, Tensor]:
    """The plain views [n, d] inside the span of the text features, and what is left of them."""
    basis = torch.linalg.qr(stream.text.features.T.double()).Q  # [d, c]
    x = stream.rows[:, 0].double()
    inside = x @ basis @ basis.T
    return inside, x - inside
