"""Is it the logit scale? The same features under larger ones."""

from __future__ import annotations

from dataclasses import replace

from tta_service.core.catalogue import strategies
from tta_service.evaluate.cells import Cell

from .clusters import ASKED
from .finding import Cells, Finding
from .ground import Ground
from .streams import play

SCALES = (30.0, 100.0)


def scales(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for name in ground.sets:
        stream = ground.stream(Cell(name), ground.count)
        own, moved = stream.text.scale, list[str]()
        for scale in sorted({own, *SCALES}):
            text = replace(stream.text, scale=scale)
            scaled = stream if scale == own else replace(stream, text=text, key=f"{stream.key} scale{scale:g}")
            row: dict[str, object] = {"set": name, "scale": f"{scale:g}{' (its own)' * (scale == own)}"}
            row |= {f"`{one}`": "" for one in ASKED}
            for strategy in ground.affordable(name, ASKED):
                gain = play(scaled, strategies.build(strategy), ground.folder).gain
                row[f"`{strategy}`"] = gain
                if gain.sign and scale != own:
                    moved.append(f"`{strategy}` at {scale:g} ({gain})")
            rows.append(row)
        conclusions.append(f"* {name}: beyond two standard errors at another scale: {', '.join(moved) or 'none'}.")
    done = (
        "The scale turns cosines into logits; constants beside it (the weight of a cache, of a likelihood) were "
        "published for 100. Zero-shot answers do not depend on it. Points from zero-shot, paired; argmax alone, so a "
        "temperature of the answer makes no difference."
    )
    return Finding("Is it the logit scale?", done, rows, conclusions)
