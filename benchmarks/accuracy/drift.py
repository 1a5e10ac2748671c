"""Streams that drift through the engine, with and without a fresh session where the world changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from tta_service.evaluate import metrics
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.features import FeatureFiles, views_by_augmentation
from tta_service.evaluate.replay import Take
from tta_service.evaluate.runs import Run
from tta_service.evaluate.study import PLAIN

from .protocols import PROTOCOLS, Drift, Scene
from .sweep import Sweep

WINDOW = 40  # frames of the sliding window


@dataclass
class DriftRow:
    """Differences from zero-shot on the same frames, in points; errors by bootstrap over blocks of all orders."""

    set: str
    protocol: str
    contender: str
    reset: bool
    frames: int
    orders: int
    top1: float
    difference: float
    difference_error: float
    last_quarter: float
    last_quarter_error: float


@dataclass(frozen=True)
class Track:
    """One contender in one protocol: hits and zero-shot hits [r, n] in the order of the stream."""

    row: DriftRow
    right: NDArray[np.float64]
    plain: NDArray[np.float64]
    changes: frozenset[int]


def measure(study: Sweep, name: str, contenders: tuple[Contender, ...], other: tuple[str, int]) -> list[Track]:
    """All protocols on one set. A reset is tried where something changes and the strategy has a memory."""
    made = study.extractor.sets[name]
    chosen = made.choose(study.count)
    scene = Scene(name, made.labels[chosen], other, len(chosen))
    drifts = {
        protocol: [protocol(scene, np.random.default_rng(2000 + number)) for number in range(study.orders)]
        for protocol in PROTOCOLS
    }
    plan = [
        (some, one, reset)
        for some in drifts.values()
        for one in contenders
        for reset in ((False, True) if one.remembers and some[0].changes else (False,))
    ]
    tracks, rows = [], _encode(study, name, contenders, [one for some in drifts.values() for one in some], chosen)
    with tqdm(total=len(plan) * study.orders * len(chosen), unit="frame") as bar:
        for some, one, reset in plan:
            bar.set_description(f"{name} {some[0].name} {one}")
            takes = [_take(study, number, drift, one, reset, rows, chosen) for number, drift in enumerate(some)]
            study.play(Cell(name), takes, bar.update)
            tracks.append(_track(name, some, one, reset, [Run.load(take.path) for take in takes]))
    return tracks


Encoded = dict[tuple[Cell, str], FeatureFiles]  # by cell and augmentation


def _encode(
    study: Sweep, name: str, contenders: tuple[Contender, ...], drifts: Sequence[Drift], chosen: NDArray[np.int64]
) -> Encoded:
    """Of each cell only the pictures that some stream shows in it."""
    needed: dict[Cell, set[int]] = {}
    for drift in drifts:
        for cell, picture in zip(drift.cells, drift.picture.tolist()):
            needed.setdefault(cell, set()).add(picture)
    most, found = views_by_augmentation(contenders), Encoded()
    total = sum(len(some) * (1 + sum(most.values())) for some in needed.values())
    with tqdm(total=total, unit="row", desc=f"{name}: encoding") as bar:
        for cell, some in needed.items():
            pictures = chosen[np.array(sorted(some))]
            found[cell, PLAIN] = study.extractor.rows(cell, "crop", 1, pictures, bar.update)
            for how, views in most.items():
                found[cell, how] = study.extractor.rows(cell, how, views, pictures, bar.update)
    return found


def _take(
    study: Sweep, number: int, drift: Drift, one: Contender, reset: bool, rows: Encoded, chosen: NDArray[np.int64]
) -> Take:
    needs = one.needs
    how = needs.augment if needs.views > 1 else PLAIN
    picture = chosen[drift.picture]

    def features(frame: int) -> NDArray[np.float32]:
        return rows[drift.cells[frame], how].rows(int(picture[frame]), needs.views)

    home = drift.cells[0]
    other = "-".join(sorted({str(cell) for cell in drift.cells}))
    stream = f"{len(chosen)}-{drift.name}{'-reset' * reset}{number}"
    path = study.path(home, one, stream).parent / "drift" / other / f"{one.strategy}-{one.digest}-{stream}.npz"
    labels = study.set(home).labels[picture]
    return Take(one, features, picture, labels, path, drift.changes if reset else frozenset())


def _track(name: str, drifts: Sequence[Drift], one: Contender, reset: bool, runs: Sequence[Run]) -> Track:
    right = np.stack([metrics.hits(run) for run in runs])
    plain = np.stack([metrics.zero_shot_hits(run) for run in runs])
    gain, count = right - plain, right.shape[1]
    # frames of one block hang together, and a picture has its block by its place: its orders are drawn as one
    blocks = np.stack([drift.blocks for drift in drifts])
    if drifts[0].name in ("imbalanced", "correlated"):  # there, every order has pictures and blocks of its own
        blocks = blocks + (blocks.max() + 1) * np.arange(len(runs))[:, None]
    late = slice(-max(1, count // 4), None)
    row = DriftRow(
        name,
        drifts[0].name,
        str(one),
        reset,
        count,
        len(runs),
        100 * float(right.mean()),
        100 * float(gain.mean()),
        100 * metrics.block_error(gain.ravel(), blocks.ravel()),
        100 * float(gain[:, late].mean()),
        100 * metrics.block_error(gain[:, late].ravel(), blocks[:, late].ravel()),
    )
    return Track(row, right, plain, drifts[0].changes if drifts[0].name != "correlated" else frozenset())


def markdown(tracks: Sequence[Track]) -> list[str]:
    """One table a set: a line for each contender, a column for each protocol; with a reset in italics below."""
    lines: list[str] = []
    for name in dict.fromkeys(track.row.set for track in tracks):
        rows = [track.row for track in tracks if track.row.set == name]
        protocols = list(dict.fromkeys(row.protocol for row in rows))
        plain = {row.protocol: row.top1 for row in rows if row.contender == "zero_shot"}
        heads = [f"{one} ({plain[one]:.1f})" for one in protocols]
        lines += [f"## {name}: {rows[0].frames} frames, {rows[0].orders} orders", ""]
        lines += [f"| strategy (zero-shot top-1) | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
        for one, reset in dict.fromkeys((row.contender, row.reset) for row in rows):
            if one == "zero_shot":
                continue
            mine = {row.protocol: row for row in rows if (row.contender, row.reset) == (one, reset)}
            cells = [_cell(mine.get(protocol)) for protocol in protocols]
            lines.append(f"| `{one}`{', reset' * reset} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _cell(row: DriftRow | None) -> str:
    if row is None:
        return ""
    bold = "**" if abs(row.difference) > 2 * row.difference_error else ""
    late = f"; last ¼ {row.last_quarter:+.1f} ± {row.last_quarter_error:.1f}"
    return f"{bold}{row.difference:+.1f}{bold} ± {row.difference_error:.1f}{late}"


def plot(tracks: Sequence[Track]) -> Figure:
    """Difference from zero-shot in a sliding window, mean over the orders; dashed with resets, at the thin lines."""
    sets = list(dict.fromkeys(track.row.set for track in tracks))
    protocols = list(dict.fromkeys(track.row.protocol for track in tracks))
    shape = {"figsize": (3.6 * len(protocols), 3.2 * len(sets) + 0.6), "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(sets), len(protocols), sharey="row", **shape)
    names = list(dict.fromkeys(t.row.contender for t in tracks if t.row.contender != "zero_shot"))
    for track in tracks:
        if track.row.contender == "zero_shot":
            continue
        axis = axes[sets.index(track.row.set)][protocols.index(track.row.protocol)]
        gain = 100 * (track.right - track.plain).mean(0)
        smooth = np.convolve(gain, np.ones(WINDOW) / WINDOW, "valid")
        color = f"C{names.index(track.row.contender) % 10}"
        label = None if track.row.reset else track.row.contender
        style = "--" if track.row.reset else "-"
        axis.plot(np.arange(len(smooth)) + WINDOW, smooth, style, color=color, linewidth=1, label=label)
        for edge in track.changes:
            axis.axvline(edge, color="0.85", linewidth=0.6, zorder=0)
        axis.axhline(0, color="0.5", linewidth=0.8, zorder=0)
        axis.set_title(f"{track.row.set}, {track.row.protocol}", fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[:, 0]:
        axis.set_ylabel("points from zero-shot", fontsize=7)
    axes[0][-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.supxlabel(f"frame; mean of the last {WINDOW}", fontsize=8)
    return figure


def as_dicts(tracks: Sequence[Track]) -> list[dict[str, Any]]:
    """Rows with their windowed curves, thinned to 100 points."""
    found = []
    for track in tracks:
        curve = 100 * (track.right - track.plain).mean(0)
        smooth = np.convolve(curve, np.ones(WINDOW) / WINDOW, "valid")
        thin = smooth[:: max(1, len(smooth) // 100)]
        found.append(asdict(track.row) | {"window": WINDOW, "curve": [round(float(y), 2) for y in thin]})
    return found


def explained(path: Path) -> str:
    return f"![accuracy over time]({path.name})"
