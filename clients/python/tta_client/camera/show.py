"""How answers are shown: a live table, plain lines, or JSON lines. Each is a context manager with `show` and `end`."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from .rows import Result, Screen, row, to_json
from .tally import Tally
from .text import printable


def open_screen(as_json: bool, out: TextIO) -> Screen:
    """JSON when asked for; a table on a terminal where rich is installed; else lines."""
    if as_json:
        return JSONLines(out)
    if out.isatty():
        try:
            return _table(out)
        except ImportError:
            pass
    return Lines(out)


class Lines:
    """One line for each answer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, result: Result, tally: Tally) -> None:
        frame, label, score, zero_shot, strategy, age, dropped, scene = row(result)
        drops = f"  dropped {dropped}" if dropped not in ("", "0") else ""
        where = f"  [{scene}]" if scene else ""
        text = f"{label} {score}  zero-shot {zero_shot}  {strategy}" if strategy else label
        print(f"{frame:>6}  {text}  {age} ms{drops}{where}", file=self._out, flush=True)

    def end(self, tally: Tally) -> None:
        print(tally.sentence(), file=self._out, flush=True)


class JSONLines(Lines):
    """One object for each answer, and a last one with the summary."""

    def show(self, result: Result, tally: Tally) -> None:
        print(json_line(to_json(result)), file=self._out, flush=True)

    def end(self, tally: Tally) -> None:
        print(json_line({"summary": tally.summary()}), file=self._out, flush=True)


def json_line(value: Any) -> str:
    """JSON in ASCII, which every terminal and every parser takes: what no number is, infinity or NaN, is null."""
    return json.dumps(_jsonable(value), allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {printable(str(name)): _jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value) if isinstance(value, str) else value


def untaught(names: Sequence[str], most: int = 8) -> str:
    """What is said of labels that the text tower was never taught, by name as far as a person reads."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the text tower was never taught: {', '.join(names[:most])}{rest}"


def _table(out: TextIO) -> Screen:
    from .table import Table

    return Table(out, deque(maxlen=12))
