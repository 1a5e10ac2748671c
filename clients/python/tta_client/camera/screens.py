"""The output of tta-camera: a live table, plain lines, or JSON lines."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Self, TextIO

from .results import COLUMNS, Result, ResultCounter, format_row, to_json
from .text import make_printable


def open_screen(as_json: bool, out: TextIO) -> Lines | Table:
    """JSON lines if `as_json`; a table on a terminal where rich is installed; plain lines otherwise."""
    if as_json:
        return JSONLines(out)
    return Table(out) if out.isatty() and find_spec("rich") else Lines(out)


class Lines:
    """One line of text for each result, and a last one with the summary.

    Every screen is a context manager, so that a terminal is restored. It is shown results that `counter` has counted.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, result: Result, counter: ResultCounter, camera: str = "") -> None:
        frame, label, score, zero_shot, strategy, age, dropped, scene = format_row(result)
        drops = f"  dropped {dropped}" if dropped not in ("", "0") else ""
        where = f"  [{scene}]" if scene else ""
        text = f"{label} {score}  zero-shot {zero_shot}  {strategy}" if strategy else label
        print(f"{_make_prefix(camera)}{frame:>6}  {text}  {age} ms{drops}{where}", file=self._out, flush=True)

    def end(self, counter: ResultCounter, camera: str = "") -> None:
        print(f"{_make_prefix(camera)}{counter.sentence()}", file=self._out, flush=True)


class JSONLines(Lines):
    """One JSON object for each result, and a last one with the summary."""

    def show(self, result: Result, counter: ResultCounter, camera: str = "") -> None:
        print(json_line(_make_member(camera) | to_json(result)), file=self._out, flush=True)

    def end(self, counter: ResultCounter, camera: str = "") -> None:
        print(json_line(_make_member(camera) | {"summary": counter.summary()}), file=self._out, flush=True)


class Table:
    """The live table of a terminal: the last results, or the last one of each camera, and counts. Needs rich."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console, self._rows = Console(file=out), deque[tuple[str, ...]](maxlen=12)
        self._cameras = dict[str, tuple[tuple[str, ...], ResultCounter]]()
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self.notes: Callable[[], Sequence[str]] = tuple  # lines below the results

    def refresh(self, counter: ResultCounter) -> None:
        """Shows the notes as they are now."""
        self._live.update(self._group(counter))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, result: Result, counter: ResultCounter, camera: str = "") -> None:
        if camera:
            self._cameras[camera] = format_row(result), counter
        else:
            self._rows.append(format_row(result))
        self.refresh(counter)

    def end(self, counter: ResultCounter, camera: str = "") -> None:
        if camera:
            self._cameras.pop(camera, None)
            sentence = f"{make_printable(camera)}: {counter.sentence()}"
            return self._console.print(sentence, markup=False, highlight=False)
        self._live.stop()
        return self._console.print(self._group(counter))

    def _group(self, counter: ResultCounter) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if self._cameras:
            return self._rows_of_cameras()
        table = Table(*COLUMNS, box=None, pad_edge=False)
        for cells in self._rows:
            flipped = cells[3] and cells[1] != cells[3]
            table.add_row(*map(Text, cells), style="bold yellow" if flipped else None)
        return Group(table, *map(Text, self.notes()), Text(counter.sentence(), style="dim"))

    def _rows_of_cameras(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table("camera", *COLUMNS[:-1], "age p95", "answers/s", box=None, pad_edge=False)
        for name, (cells, counter) in sorted(self._cameras.items()):
            counts = counter.statistics
            rate = counts.answers / max(counts.seconds, 1e-9)
            last = f"{counts.age(0.95) * 1000:.0f}", f"{rate:.1f}"
            table.add_row(*map(Text, (make_printable(name), *cells[:-1], *last)))
        return table


def _make_prefix(camera: str) -> str:
    return f"{make_printable(camera)}  " if camera else ""


def _make_member(camera: str) -> dict[str, Any]:
    return {"camera": camera} if camera else {}


def json_line(value: Any) -> str:
    """JSON in ASCII, which every terminal and parser accepts. Infinity and NaN, which JSON lacks, become null."""
    return json.dumps(_make_jsonable(value), allow_nan=False)


def _make_jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {make_printable(str(name)): _make_jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return make_printable(value) if isinstance(value, str) else value


def describe_unseen(names: Sequence[str], most: int = 8) -> str:
    """A sentence about labels that the text tower was not trained on. It names the first `most` of them."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the text tower was never taught: {', '.join(names[:most])}{rest}"
