"""The live table, for a terminal."""

from __future__ import annotations

from collections import deque
from typing import TextIO

import rich.table
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .rows import COLUMNS, Result, Screen, row
from .tally import Tally


class Table:
    """The last answers, a line of numbers below them."""

    def __init__(self, out: TextIO, rows: deque[tuple[str, ...]]) -> None:
        self._console, self._rows = Console(file=out), rows
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, result: Result, tally: Tally) -> None:
        self._rows.append(row(result))
        self._live.update(self._group(tally))

    def end(self, tally: Tally) -> None:
        self._live.stop()
        self._console.print(self._group(tally))

    def _group(self, tally: Tally) -> Group:
        table = rich.table.Table(*COLUMNS, box=None, pad_edge=False)
        for cells in self._rows:
            flipped = cells[3] and cells[1] != cells[3]
            table.add_row(*map(Text, cells), style="bold yellow" if flipped else None)
        return Group(table, Text(tally.sentence(), style="dim"))
