"""The table: every contender in every cell, written anew after each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .cells import Cell
from .contenders import Contender
from .pooled import Pooled, pooled
from .rows import Row, judged, row
from .runs import Run
from .study import Study


@dataclass
class Table:
    contenders: tuple[Contender, ...]
    rows: list[Row] = field(default_factory=list)
    runs: dict[Cell, dict[str, list[Run]]] = field(default_factory=dict)

    def add(self, cell: Cell, runs: dict[str, list[Run]], row_seconds: float) -> None:
        self.runs[cell] = runs
        for one in self.contenders:
            beside = runs.get(str(one.beside), []) if one.beside else []
            self.rows.append(row(cell, one, runs[str(one)], beside, row_seconds))
        judged(self.rows)

    def pooled(self) -> list[Pooled]:
        """Each contender over the clean cell and over the shifted ones, by set and reducer."""
        found, by_place = [], {(self._cell(one), one.contender): one for one in self.rows}
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
        return pooled(one, name, over, runs, rows, beside)

    @staticmethod
    def _cell(row: Row) -> Cell:
        return Cell(row.set, row.shift, row.severity, row.reducer)


def measured(study: Study, cells: Sequence[Cell], contenders: tuple[Contender, ...]) -> Iterator[Table]:
    """The table so far, after each cell."""
    table, seconds = Table(contenders), {}
    for cell, runs in study.played(cells, contenders):
        if cell.reducer not in seconds:
            seconds[cell.reducer] = study.kitchen.seconds_a_row(cell)
        table.add(cell, runs, seconds[cell.reducer])
        yield table
