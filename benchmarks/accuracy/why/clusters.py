"""The same features, drawn together by an oracle: where does a memory begin to help?"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tta_service.core.catalogue import strategies
from tta_service.evaluate.cells import Cell
from tta_service.maths import unit

from .finding import Cells, Finding
from .geometry import PAIRED, median, outside, pairs, split_by_text_span
from .ground import Ground
from .readers import read_first
from .streams import Stream, play

PULLS = (0.0, 0.3, 0.6, 0.9)
ASKED = ("tda", "oga", "dota", "adapt", "stata", "dmn")
FIRST = ("tda", "dmn")  # also read before the frame is written
LITTLE = 0.1  # of the squared length: with less outside the text's span there is nothing to draw there


def together(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for name in ground.sets:
        first, among = ground.stream(Cell(name), ground.count), ground.stream(Cell(name), PAIRED)
        whole = float(outside(among).mean()) < LITTLE
        asked = ground.affordable(name, ASKED)
        begins: dict[str, str] = {}
        for pull in PULLS:
            stream = draw_together(first, pull, among, whole) if pull else first
            same, other = (median(values) for values in pairs(stream))
            right = (stream.plain().argmax(-1).numpy() == stream.labels).mean()
            row: dict[str, object] = {"set": name, "drawn": "whole" if whole else "unseen", "pull": pull}
            row |= {"same class": same, "other classes": other, "zero-shot top-1": 100 * float(right)}
            row |= {f"`{one}`": "" for one in ASKED}
            for strategy in asked:
                gain = play(stream, strategies.build(strategy), ground.folder).gain
                row[f"`{strategy}`"] = gain
                if gain.sign > 0:
                    begins.setdefault(strategy, f"{same:.2f}")
            for strategy in FIRST:
                one = play(stream, strategies.build(strategy), ground.folder, read_first)
                row[f"`{strategy}`, read first"] = one.gain
            rows.append(row)
        first_gains = ", ".join(f"`{one}` at {cosine}" for one, cosine in begins.items()) or "none"
        never = ", ".join(f"`{one}`" for one in asked if one not in begins) or "none"
        conclusions.append(
            f"* {name}: first to gain, by the median cosine within a class: {first_gains}; not at any: {never}."
        )
    done = (
        "An oracle that knows the labels draws each image towards the mean of its class, by so much (0: as the model "
        "made it). *Unseen*: only what is orthogonal to every text feature is drawn, at the same length, so logits and "
        "zero-shot answers stay as they are. *Whole*: where next to nothing is orthogonal (less than a tenth of the "
        "squared length), all of the feature is drawn, and zero-shot answers move as well. *Read first*: answered from "
        "the memory before the frame is written; the others in the published order."
    )
    return Finding("At which closeness does a memory begin to help?", done, rows, conclusions)


def draw_together(stream: Stream, pull: float, among: Stream, whole: bool = False) -> Stream:
    """Images drawn towards their true class's mean in `among`: what the text does not see of them, or the `whole`.

    The former keeps every length and every logit: only how images lie to each other changes.
    """
    (kept, left), (_, others) = (
        (_whole(stream), _whole(among)) if whole else (split_by_text_span(stream), split_by_text_span(among))
    )
    mean = torch.zeros(len(stream.text.features), left.shape[1]).double()
    mean = unit(mean.index_add_(0, torch.from_numpy(among.labels), others))[torch.from_numpy(stream.labels)]
    length = left.norm(dim=-1, keepdim=True)
    moved = unit((1 - pull) * left / length.clamp_min(1e-12) + pull * mean) * length
    how = f"together{pull}{'whole' * whole}"
    return replace(stream, key=f"{stream.key} {how} {among.key}", rows=(kept + moved).float()[:, None])


def _whole(stream: Stream) -> tuple[Tensor, Tensor]:
    x = stream.rows[:, 0].double()
    return torch.zeros_like(x), x
