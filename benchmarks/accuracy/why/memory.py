"""Do the memories only repeat their own pseudo-labels? Order of writing and reading, size, and labels that are true."""

from __future__ import annotations

from typing import Any

from tta_service.core.catalogue import strategies
from tta_service.core.strategy import Strategy
from tta_service.evaluate.cells import Cell

from .finding import Cells, Finding
from .ground import Ground
from .readers import WRITERS, read_first, taught
from .streams import Played, Stream, play

SLOTS = (1, 2, 4, 16, 50)
ALONE = 1e6  # a weight beside which the text says nothing
NOWHERE = float("nan")


def writers() -> dict[str, Strategy[Any]]:
    """Who writes a frame before it answers, with one view."""
    names = ("tda", "boost_adapter", "oga", "adapt", "dmn")
    return {name: strategies.build(name, {"views": 1} if name == "boost_adapter" else {}) for name in names}


def orders(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for cell in (cell for name in ground.sets for cell in ground.first_cells(name)):
        stream = ground.stream(cell, ground.count)
        for strategy, made in writers().items():
            usual, before = play(stream, made, ground.folder), play(stream, made, ground.folder, read_first)
            true = play(stream, made, ground.folder, taught) if strategy in WRITERS else None
            row: dict[str, object] = {"set": cell.set, "shift": cell.shown, "strategy": f"`{strategy}`"}
            row |= {"changed %": usual.changed, "gain": usual.gain}
            row["ECE (zero-shot's)"] = f"{usual.ece:.1f} ({usual.plain_ece:.1f})"
            row |= {"read first: changed %": before.changed, "read first: gain": before.gain}
            row["read first: ECE"] = before.ece
            row["true labels: changed %"] = true.changed if true else NOWHERE
            row["true labels: gain"] = true.gain if true else ""
            rows.append(row)
            conclusions.append(
                f"{cell.set}, {cell.shown}, `{strategy}`: {_order(usual, before)}{_labels(before, true)}"
            )
    done = (
        f"Streams of {ground.count} frames. As published a frame is written before it is answered. *Read first*: "
        "answered from the memory before it, then written. *True labels*: read first, then written under its true "
        "label, the best that pseudo-labels could become. Points from zero-shot, paired."
    )
    return Finding("Does a frame confirm itself?", done, rows, _as_list(conclusions))


def _order(usual: Played, before: Played) -> str:
    text = f"{usual.changed:.1f} % of the answers change as published, {before.changed:.1f} % when it is read first"
    if before.changed > 2 * usual.changed and before.changed - usual.changed > 1:
        return f"{text}: a frame mostly confirms itself; read first it {before.gain.word}"
    return f"{text}: the order is not what keeps it from changing more"


def _labels(before: Played, true: Played | None) -> str:
    if true is None:
        return "."
    return f"; with true labels it {true.gain.word} ({true.gain}, beside {before.gain} with its own)."


def slots(ground: Ground) -> Finding:
    rows: list[Cells] = []
    for name in ground.sets:
        stream = ground.stream(Cell(name), ground.count)
        for size in SLOTS:
            row: dict[str, object] = {"set": name, "slots": size}
            for order, turn in (("published", None), ("read first", read_first)):
                both = _dmn(ground, stream, size, 1.0, turn), _dmn(ground, stream, size, ALONE, turn)
                for what, one in zip((order, f"{order}, memory alone"), both):
                    row |= {f"{what}: changed %": one.changed, f"{what}: gain": one.gain}
            rows.append(row)
    most = {name: max(_number(row[name]) for row in rows) for name in rows[0] if name.endswith("changed %")}
    conclusions = [
        f"{name.removesuffix(': changed %')}: {value:.1f} % of the answers at most." for name, value in most.items()
    ]
    done = (
        f"The same {ground.count} frames. With one view the frame goes into the slots of its own zero-shot class and "
        "meets itself there at cosine 1 and weight 1. *Memory alone*: `weight` 10⁶, the text says nothing."
    )
    return Finding("How many answers does `dmn` change, and does its size matter?", done, rows, _as_list(conclusions))


def _dmn(ground: Ground, stream: Stream, size: int, weight: float, turn: Any) -> Played:
    made = strategies.build("dmn", {"slots": size, "weight": weight})
    return play(stream, made, ground.folder, turn) if turn else play(stream, made, ground.folder)


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _as_list(conclusions: list[str]) -> list[str]:
    return [f"* {one}" for one in conclusions]


def sureness(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    others = {name: strategies.build(name) for name in ("dota",)}
    for name in ground.sets:
        stream = ground.stream(Cell(name), ground.count)
        for strategy, made in (writers() | others).items():
            whole = play(stream, made, ground.folder)
            one = whole.unchanged()
            row: dict[str, object] = {"set": name, "strategy": f"`{strategy}`"}
            row |= {"same answers %": 100 - whole.changed, "right %": 100 * float((one.answer == one.truth).mean())}
            row |= {"sure % before": 100 * float(one.plain_sure.mean()), "sure % after": 100 * float(one.sure.mean())}
            row |= {"ECE before": one.plain_ece, "ECE after": one.ece}
            if strategy in WRITERS:
                row["read first, all frames: ECE"] = play(stream, made, ground.folder, read_first).ece
            else:
                row["read first, all frames: ECE"] = NOWHERE
            rows.append(row)
            if one.ece > 1.5 * one.plain_ece:
                conclusions.append(
                    f"{name}, `{strategy}`: ECE {one.plain_ece:.1f} → {one.ece:.1f} at the same answers."
                )
    done = (
        "Only frames of the same streams whose answer adapting left as it was: what changes there is confidence alone. "
        "Named below is whose ECE becomes half as large again, or more."
    )
    return Finding("Sure of what?", done, rows, _as_list(conclusions))
