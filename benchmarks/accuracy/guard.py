"""Long streams through strategies with a memory: bare, guarded, and begun anew after every 1,000 frames.

Points of top-1 from plain CLIP on the same frames, ± one standard error over blocks of 20 frames (in the correlated
stream the runs of one class). *acted*: the share of frames that the guard answered without the memory. A stationary
stream has one kind of picture, the others change as in `accuracy.py drift`; *recovered* begins shifted and ends clean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service.core.catalogue import strategies as catalogue
from tta_service.core.evidence import Evidence
from tta_service.core.labels import LabelSet, TextSpace
from tta_service.core.strategy import Strategy
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.features import FeatureExtractor
from tta_service.guard import add_guard, count_answer, is_doubtful

from .protocols import Drift, Scene, abrupt, correlated, imbalanced, recurring

RESET = 1000  # frames after which the memory beside the guard's begins anew
CHOICE = 2  # the seed of the pictures; the guard's numbers were chosen on others


@dataclass(frozen=True)
class GuardRow:
    """One strategy on one stream; differences in points."""

    set: str
    stream: str
    strategy: str
    frames: int
    plain: float  # top-1 of plain CLIP
    bare: float
    guarded: float
    error: float  # of `guarded`
    reset: float
    acted: float  # percent


def measure(
    extractor: FeatureExtractor, name: str, contenders: Sequence[Contender], shifted: Sequence[Cell], count: int
) -> Iterator[GuardRow]:
    """All streams of one set; in those that change, the first of the `shifted` cells comes and goes."""
    made = extractor.sets[name]
    text = extractor.clip.text_space(LabelSet(made.names, made.templates))
    chosen = made.choose(min(count, len(made)), seed=CHOICE)
    kinds = {cell: extractor.rows(cell, "crop", 1, chosen, lambda rows: None) for cell in (Cell(name), *shifted)}
    for stream in _streams(Scene(name, made.labels[chosen], (shifted[0].shift, shifted[0].severity), len(chosen))):
        if not set(stream.cells) <= set(kinds):
            continue
        rows = [kinds[cell].rows(int(chosen[i]), 1) for cell, i in zip(stream.cells, stream.picture, strict=True)]
        yield from _compare(
            stream, torch.from_numpy(np.stack(rows)), made.labels[chosen][stream.picture], text, contenders
        )
    for cell in shifted:
        draw = np.random.default_rng(CHOICE).permutation(len(chosen))
        rows = torch.from_numpy(np.stack([kinds[cell].rows(int(chosen[i]), 1) for i in draw]))
        stream = Drift(cell.shown, (cell,) * len(draw), draw, np.arange(len(draw)) // 20, frozenset())
        yield from _compare(stream, rows, made.labels[chosen][draw], text, contenders)


def _streams(scene: Scene) -> Iterator[Drift]:
    draw = np.random.default_rng(CHOICE)
    order = draw.permutation(scene.frames)
    blocks = np.arange(scene.frames) // 20
    yield Drift("clean", (scene.clean(),) * scene.frames, order, blocks, frozenset())
    turned = abrupt(scene, draw)
    yield turned
    yield replace(turned, name="recovered", cells=turned.cells[::-1], picture=turned.picture[::-1])
    yield from (protocol(scene, draw) for protocol in (recurring, imbalanced, correlated))


def _compare(
    stream: Drift, rows: Tensor, labels: NDArray[np.int64], text: TextSpace, contenders: Sequence[Contender]
) -> Iterator[GuardRow]:
    """`rows` [n, 1, d] of frames whose classes are `labels` [n]."""
    plain = text.scale * rows[:, 0] @ text.features.T
    right = plain.argmax(1).numpy() == labels
    for one in contenders:
        strategy = catalogue.build(one.strategy, one.parameters)
        bare, reset = _answers(strategy, rows, text, len(rows)), _answers(strategy, rows, text, RESET)
        doubtful = _doubts(plain, bare, text)
        guarded = torch.where(doubtful[:, None], plain, bare)
        gains = [100.0 * (some.argmax(1).numpy() == labels) - 100.0 * right for some in (bare, guarded, reset)]
        means = [gains[1][stream.blocks == block].mean() for block in np.unique(stream.blocks)]
        yield GuardRow(
            set=stream.cells[0].set,
            stream=stream.name,
            strategy=str(one),
            frames=len(rows),
            plain=100.0 * float(right.mean()),
            bare=float(gains[0].mean()),
            guarded=float(gains[1].mean()),
            error=float(np.std(means) / len(means) ** 0.5),
            reset=float(gains[2].mean()),
            acted=100.0 * float(doubtful.float().mean()),
        )


@torch.no_grad()
def _answers(strategy: Strategy[object], rows: Tensor, text: TextSpace, reset: int) -> Tensor:
    """Logits [n, c]; the memory begins anew after every `reset` frames."""
    memory, found = None, list[Tensor]()
    for place, views in enumerate(rows):
        memory = strategy.begin(text) if place % reset == 0 else memory
        logits, memory = strategy.adapt(Evidence(views, text), memory)
        found.append(logits.float().clone())
    return torch.stack(found)


def _doubts(plain: Tensor, adapted: Tensor, text: TextSpace) -> Tensor:
    """[n] which answers the guard replaces. It changes no memory, so it can be applied afterwards."""
    guard, found = add_guard(None, text).guard, list[bool]()
    for one, other in zip(plain, adapted, strict=True):
        found.append(is_doubtful(guard, one, other))
        guard = count_answer(guard, one, other)
    return torch.tensor(found)


def as_dicts(rows: Sequence[GuardRow]) -> list[dict[str, object]]:
    return [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(row).items()}
        for row in rows
    ]


def markdown(rows: Sequence[GuardRow]) -> list[str]:
    lines = summary(rows)
    lines += [
        "",
        "| set | stream | strategy | frames | plain CLIP | bare | guarded | reset | acted |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        cells = [row.set, row.stream, f"`{row.strategy}`", str(row.frames), f"{row.plain:.1f}", f"{row.bare:+.1f}"]
        cells += [f"{row.guarded:+.1f} ± {row.error:.1f}", f"{row.reset:+.1f}", f"{row.acted:.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def summary(rows: Sequence[GuardRow]) -> list[str]:
    """The answer in a few sentences."""
    bare, guarded, reset = (np.array([getattr(row, kind) for row in rows]) for kind in ("bare", "guarded", "reset"))
    errors, gained, better = np.array([row.error for row in rows]), bare > 0, guarded - reset
    spread = better.std() / len(rows) ** 0.5
    lines = [
        f"{len(rows)} rows, mean: bare {bare.mean():+.2f}, guarded {guarded.mean():+.2f}, reset {reset.mean():+.2f};",
        f"guarded less reset {better.mean():+.2f} ± {spread:.2f}.",
        f"Mean loss: bare {np.minimum(bare, 0).mean():.2f}, guarded {np.minimum(guarded, 0).mean():.2f}; the largest:",
        f"{bare.min():.2f}, {guarded.min():.2f}, the largest upper 95 % {(guarded - 1.96 * errors).min():.2f}.",
    ]
    if gained.any():
        kept, lost = guarded[gained].mean(), (bare - guarded)[gained].max()
        lines.append(
            f"Where the bare memory gains: {bare[gained].mean():+.2f}, guarded {kept:+.2f}, at most {lost:.2f} lost."
        )
    return lines
