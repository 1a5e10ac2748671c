"""What is measured at a time: one set under one change, seen through one token reduction."""

from __future__ import annotations

from dataclasses import dataclass

from .corruptions import strength


@dataclass(frozen=True, order=True)
class Cell:
    """`set` is the name of a picture set; shift "none" has severity 0."""

    set: str
    shift: str = "none"
    severity: int = 0
    reducer: str = "none"

    def __str__(self) -> str:
        """A name for files; it holds the strength, so that features made with another one are not taken for these."""
        shift = (
            "none" if self.shift == "none" else f"{self.shift}{self.severity}({strength(self.shift, self.severity):g})"
        )
        return shift if self.reducer == "none" else f"{shift}-{self.reducer.replace(':', '-').replace('=', '')}"

    @property
    def shown(self) -> str:
        """For people."""
        return show_shift(self.shift, self.severity)


def show_shift(shift: str, severity: int) -> str:
    """`fog 3`, or `clean`."""
    return "clean" if shift == "none" else f"{shift} {severity}"


def cells(sets: list[str], shifts: list[str], severities: list[int], reducers: list[str]) -> list[Cell]:
    """Every combination, all sets under one shift before the next. Raises ValueError for an unknown shift."""
    found = []
    for shift in shifts:
        for severity in [0] if shift == "none" else severities:
            strength(shift, severity)
            found += [Cell(name, shift, severity, reducer) for name in sets for reducer in reducers]
    return found
