"""The live table of a terminal. Importing this needs rich."""

from __future__ import annotations

from collections import deque
from typing import Self, TextIO

import rich.table
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .results import COLUMNS, Result, ResultCounter, format_row


class Table:
    """The last results, with a line of counts below them."""

    def __init__(self, out: TextIO) -> None:
        self._console, self._rows = Console(file=out), deque[tuple[str, ...]](maxlen=12)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, result: Result, counter: ResultCounter) -> None:
        self._rows.append(format_row(result))
        self._live.update(self._group(counter))

    def end(self, counter: ResultCounter) -> None:
        self._live.stop()
        self._console.print(self._group(counter))

    def _group(self, counter: ResultCounter) -> Group:
        table = rich.table.Table(*COLUMNS, box=None, pad_edge=False)
        for cells in self._rows:
            flipped = cells[3] and cells[1] != cells[3]
            table.add_row(*map(Text, cells), style="bold yellow" if flipped else None)
        return Group(table, Text(counter.sentence(), style="dim"))
