"""Is the stream too short? One-view strategies along a long one, in fifths."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tta_service.core.catalogue import strategies
from tta_service.core.evidence import Evidence
from tta_service.evaluate.cells import Cell

from .finding import Cells, Finding, Gain
from .ground import Ground
from .readers import read_first
from .streams import Played, Stream, play

ALONG = ("tda", "oga", "dota", "adapt", "dmn")
FIRST = ("tda", "dmn")  # also read before the frame is written
PARTS = 5


def along(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for name in ground.sets:
        stream = ground.stream(Cell(name), ground.long)
        each = len(stream) / len(stream.text.features)
        for strategy in ground.affordable(name, ALONG):
            made = strategies.build(strategy)
            for turn in ("", ", read first") if strategy in FIRST else ("",):
                one = play(stream, made, ground.folder, read_first) if turn else play(stream, made, ground.folder)
                parts = windows(one)
                rows.append(
                    {"set": name, "strategy": f"`{strategy}`{turn}", "frames": len(stream), "a class": each}
                    | {f"fifth {n + 1}": part for n, part in enumerate(parts)}
                    | {"all": one.gain, "changed %": one.changed}
                )
                late, early = parts[-1], parts[0]
                apart = Gain(late.mean - early.mean, float(np.hypot(late.error, early.error)))
                if one.gain.sign or apart.sign:
                    conclusions.append(
                        f"* {name}, `{strategy}`{turn}: it {one.gain.word} ({one.gain}); last less first fifth {apart}."
                    )
    conclusions = conclusions or [
        "Nothing moves by two standard errors, over the whole stream or from its first fifth to its last."
    ]
    done = (
        "Paired points from zero-shot in five equal windows of one stream. Named below is who moves by two standard "
        "errors over the whole stream, or from the first fifth to the last."
    )
    return Finding("Is the stream too short?", done, rows, conclusions)


def windows(one: Played, parts: int = PARTS) -> list[Gain]:
    """Gains in equal windows, in the order of the stream."""
    return [Gain.of(some) for some in np.array_split(one.gains, parts)]


WINDOWS = (64, 256)


def together(ground: Ground) -> Finding:
    """StatA solves a window; here also all frames at once, with every answer from that one solution."""
    rows: list[Cells] = []
    for name in ground.sets:
        stream = ground.stream(Cell(name), ground.count)
        found: dict[str, Played] = {}
        for window in WINDOWS if ground.few(name) else ():
            made = strategies.build("stata", {"window": window})
            found[f"window {window}, as it streams"] = play(stream, made, ground.folder)
        found[f"all {len(stream)} at once"] = at_once(stream)
        for how, one in found.items():
            rows.append(
                {"set": name, "`stata`": how, "frames": len(one.truth), "changed %": one.changed, "gain": one.gain}
                | {"ECE": one.ece, "zero-shot's": one.plain_ece}
            )
    conclusions = [f"* {row['set']}, {row['`stata`']}: it {_word(row['gain'])}." for row in rows]
    done = (
        "The published method solves a whole batch; a service has the last frames only. Points from zero-shot, paired."
    )
    return Finding("`stata`: is the window too short?", done, rows, conclusions)


def at_once(stream: Stream) -> Played:
    made: Any = strategies.build("stata")
    with torch.no_grad():
        log_z = made.solve(stream.rows[:, 0].double(), stream.text)
        plain = Evidence(stream.rows[:, 0], stream.text).logits().softmax(-1)
    best, plain_best = log_z.exp().max(-1), plain.max(-1)
    numbers = best.indices.numpy(), best.values.float().numpy(), plain_best.indices.numpy(), plain_best.values.numpy()
    return Played(stream.labels, *numbers)


def _word(value: object) -> str:
    assert isinstance(value, Gain)
    return value.word
