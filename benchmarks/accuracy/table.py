"""The table: every contender in every cell, written anew after each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.rows import Row, judge_rows, row
from tta_service.evaluate.runs import Run

from . import costs
from .pooled import Pooled, pool
from .sweep import Sweep


@dataclass
class Table:
    contenders: tuple[Contender, ...]
    rows: list[Row] = field(default_factory=list)
    runs: dict[Cell, dict[str, list[Run]]] = field(default_factory=dict)

    def add(self, cell: Cell, runs: dict[str, list[Run]]) -> None:
        self.runs[cell] = runs
        for one in self.contenders:
            beside = runs.get(str(one.beside), []) if one.beside else []
            self.rows.append(row(cell, one, runs[str(one)], beside))
        judge_rows(self.rows)

    def costs(self, row_seconds: Mapping[str, float], adapt_seconds: Mapping[tuple[str, str], float]) -> None:
        """What a row of each reducer costs, and each contender's frame of each set: measured alone."""
        for one in self.rows:
            one.encode_seconds = one.views * row_seconds[one.reducer]
            one.adapt_seconds = adapt_seconds[one.set, one.contender]

    def pooled(self) -> list[Pooled]:
        """Each contender over the clean cell and over the shifted ones, by set and reducer."""
        found, by_place = [], {(self.cell_of(one), one.contender): one for one in self.rows}
        for name, reducer in dict.fromkeys((cell.set, cell.reducer) for cell in self.runs):
            inside = [cell for cell in self.runs if (cell.set, cell.reducer) == (name, reducer)]
            groups = {"clean": [cell for cell in inside if cell.shift == "none"]}
            for severity in sorted({cell.severity for cell in inside} - {0}):
                groups[f"shifted, severity {severity}"] = [cell for cell in inside if cell.severity == severity]
            for over, cells in groups.items():
                over += "" if reducer == "none" else f", {reducer}"
                found += [self._pooled(one, name, over, cells, by_place) for one in self.contenders if cells]
        return found

    def _pooled(
        self, one: Contender, name: str, over: str, cells: Sequence[Cell], rows: dict[tuple[Cell, str], Row]
    ) -> Pooled:
        runs = {cell: self.runs[cell][str(one)] for cell in cells}
        beside = {cell: self.runs[cell].get(str(one.beside), []) for cell in cells}
        return pool(one, name, over, runs, rows, beside)

    @staticmethod
    def cell_of(row: Row) -> Cell:
        """The cell that a row is of."""
        return Cell(row.set, row.shift, row.severity, row.reducer)


def measure(study: Sweep, cells: Sequence[Cell], contenders: tuple[Contender, ...]) -> Iterator[Table]:
    """The table so far, after each cell; once more with the costs, when nothing else is under way."""
    table = Table(contenders)
    with tqdm(total=study.frames(cells, contenders), unit="frame", smoothing=0.02) as bar:
        for cell, runs in study.play_cells(cells, contenders, bar.update):
            table.add(cell, runs)
            yield table
    first = {cell.reducer: cell for cell in reversed(cells)}
    rows = {reducer: study.extractor.seconds_a_row(cell) for reducer, cell in first.items()}
    table.costs(rows, costs.alone(study, {cell.set: cell for cell in reversed(cells)}, contenders))
    yield table
