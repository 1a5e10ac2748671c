"""What tells, without labels, that pictures are not of a world that the model knows?

Streams of 400 frames, drawn ten times for each number of names: *known* pictures of these names; *scene*, pictures of
one of the names alone; *shifted* by each shift; *other names*, pictures of the set that show none of the names;
*other set*, pictures of another set. Means over draws of plain CLIP's top-1 (of pictures that show a name), the mean
entropy and what answers tell about their picture (both over ln of the number of names), the mean of the best cosine,
the effective number of classes of the answers, and the share of draws that end with each of the service's warnings.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service.core.catalogue import reducers, strategies
from tta_service.core.caution import CautionKind
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded, Report, Request, SessionStatus
from tta_service.evaluate.cells import Cell, cells
from tta_service.evaluate.features import FeatureExtractor
from tta_service.serving.sessions.watch import SessionWatch

from .setup import about_of, make_extractor, save

FRAMES, DRAWS = 400, 10


@dataclass(frozen=True)
class SignRow:
    """One kind of world under so many names; the mean of its draws."""

    set: str
    names: int
    world: str
    top1: float  # percent; NaN where no picture shows a name
    entropy: float
    tells: float
    cosine: float
    classes: float
    few_classes: float  # percent of the draws that end with the warning
    foreign: float


@dataclass(frozen=True)
class World:
    """Features [n, d] of one view, and their labels [n]; -1: none of the set's names."""

    name: str
    rows: Tensor
    labels: NDArray[np.int64]


def measure(
    extractor: FeatureExtractor, name: str, shifted: Sequence[Cell], sizes: Sequence[int], count: int
) -> Iterator[SignRow]:
    """All worlds of one set, beside the first other one."""
    made = extractor.sets[name]
    worlds = [_world(extractor, cell, "known" if cell == Cell(name) else cell.shown, count) for cell in shifted]
    for other in [other for other in extractor.sets if other != name][:1]:
        elsewhere = _world(extractor, Cell(other), "other set", count)
        worlds.append(World("other set", elsewhere.rows, np.full(len(elsewhere.labels), -1)))
    for size in sorted({min(size or len(made.names), len(made.names)) for size in sizes}):
        found: dict[str, list[NDArray[np.float64]]] = {}
        draw = np.random.default_rng(size)
        for _ in range(DRAWS):
            chosen = draw.permutation(len(made.names))[:size]
            labels = LabelSet(tuple(made.names[i] for i in chosen), made.templates)
            text = extractor.clip.text_space(labels)
            for world, rows, truth in _streams(worlds, chosen, draw):
                logits = text.scale * rows @ text.features.T
                found.setdefault(world, []).append(_signs(labels, logits, truth, text.scale))
        for world, values in found.items():
            yield SignRow(name, size, world, *np.mean(values, axis=0).tolist())


def run(args: argparse.Namespace) -> int:
    """The mode of the command line."""
    extractor, rows = make_extractor(args), list[SignRow]()
    for name in extractor.sets:
        rows += measure(extractor, name, cells([name], args.shifts, args.severities, ["none"]), args.names, args.count)
    save(args, f"{args.name}.json", json.dumps({"about": about_of(args), "rows": as_dicts(rows)}, indent=1))
    lines = ["# What tells a world that the model does not know?", "", about_of(args)["command"], "", __doc__ or ""]
    save(args, f"{args.name}.md", "\n".join([*lines, "", *markdown(rows)]))
    print("\n".join(markdown(rows)))
    return 0


def _world(extractor: FeatureExtractor, cell: Cell, name: str, count: int) -> World:
    made = extractor.sets[cell.set]
    chosen = made.choose(min(count, len(made)))
    files = extractor.rows(cell, "crop", 1, chosen, lambda rows: None)
    return World(name, torch.from_numpy(np.stack([files.rows(int(i), 1)[0] for i in chosen])), made.labels[chosen])


def _streams(
    worlds: Sequence[World], chosen: NDArray[np.int64], draw: np.random.Generator
) -> Iterator[tuple[str, Tensor, NDArray[np.int64]]]:
    """Name, features [n, d], and places [n] of their names in `chosen`, -1 for none."""
    for world in worlds:
        place = np.array([np.flatnonzero(chosen == label)[0] if label in chosen else -1 for label in world.labels])
        kinds = [(world.name, place == -1 if world.name == "other set" else place >= 0)]
        if world.name == "known":
            kinds += [("scene", place == 0), ("other names", place == -1)]
        for name, mask in kinds:
            if mask.any():
                some = draw.choice(np.flatnonzero(mask), FRAMES)
                yield name, world.rows[torch.from_numpy(some)], place[some]


def _signs(labels: LabelSet, logits: Tensor, truth: NDArray[np.int64], scale: float) -> NDArray[np.float64]:
    """The columns of a row after `world`, of one draw."""
    chance, best = logits.double().softmax(1).numpy(), logits.argmax(1).numpy()
    whole = math.log(len(labels.names))
    entropy = _entropy(chance).mean() / whole
    share = np.bincount(best) / len(best)
    right = 100.0 * (best == truth)[truth >= 0].mean() if (truth >= 0).any() else math.nan
    watch, build = SessionWatch(), strategies.build("zero_shot")
    request = Request(Encoded(b""), labels, build, Reduction(reducers.build("none")))
    reports = (Report(request, build, one, one, 1, {}, 1, SessionStatus("")) for one in logits)
    *_, last = (watch.observe(report, taught=False) for report in reports)
    warned = [100.0 * any(one.kind is kind for one in last) for kind in (CautionKind.FEW_CLASSES, CautionKind.FOREIGN)]
    tells = _entropy(chance.mean(0)) / whole - entropy
    cosine = float(logits.max(1).values.mean()) / scale
    return np.array([right, entropy, tells, cosine, math.exp(_entropy(share)), *warned])


def _entropy(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats, over the last axis."""
    return -(chance * np.log(np.maximum(chance, 1e-300))).sum(-1)


def as_dicts(rows: Sequence[SignRow]) -> list[dict[str, object]]:
    return [
        {key: (None if math.isnan(value) else round(value, 3)) if isinstance(value, float) else value
         for key, value in asdict(row).items()}
        for row in rows
    ]  # fmt: skip


def markdown(rows: Sequence[SignRow]) -> list[str]:
    heads = ("set", "names", "world", "top-1", "entropy", "tells", "cosine", "classes", "few classes", "foreign")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        shown = [row.set, str(row.names), row.world, "" if math.isnan(row.top1) else f"{row.top1:.1f}"]
        shown += [f"{row.entropy:.2f}", f"{row.tells:.2f}", f"{row.cosine:.2f}", f"{row.classes:.1f}"]
        lines.append(f"| {' | '.join([*shown, f'{row.few_classes:.0f} %', f'{row.foreign:.0f} %'])} |")
    return lines
