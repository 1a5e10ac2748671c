"""What an experiment found: a question, a table that the command measured, and what its numbers decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tta_service.evaluate import metrics


@dataclass(frozen=True)
class Gain:
    """A mean of paired differences, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Gain:
        return cls(*metrics.mean_and_error(values)) if len(values) else cls(np.nan, np.nan)

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return ""
        bold = "**" if self.sign else ""
        return f"{bold}{self.mean:+.2f}{bold} ± {self.error:.2f}"

    @property
    def sign(self) -> int:
        """1 or −1 beyond two standard errors, else 0."""
        return int(np.sign(self.mean)) if abs(self.mean) > 2 * self.error else 0

    @property
    def word(self) -> str:
        return {1: "gains", -1: "loses", 0: "neither gains nor loses"}[self.sign]


Cells = Mapping[str, object]  # column to text, number or `Gain`; every row of a table has the same columns


@dataclass(frozen=True)
class Finding:
    question: str
    done: str  # what was done
    rows: Sequence[Cells]
    conclusions: Sequence[str]  # sentences that the numbers decide

    def lines(self) -> list[str]:
        """Markdown."""
        head = list(self.rows[0]) if self.rows else []
        table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"] if head else []
        table += [f"| {' | '.join(_format(row[name]) for name in head)} |" for row in self.rows]
        return [f"## {self.question}", "", self.done, "", *table, "", *self.conclusions, ""]

    def as_dict(self) -> dict[str, Any]:
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.rows]
        return {"question": self.question, "done": self.done, "rows": rows, "conclusions": list(self.conclusions)}


def _format(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, Gain):
        return None if np.isnan(value.mean) else asdict(value)
    return None if isinstance(value, float) and np.isnan(value) else value
