"""The demo's table: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .tally import Count, Tally, percentile

Board = Callable[[], None]
EVERY = 25  # answers between two plain lines
HEADS = ("strategy", "frames", "answers", "failed", "p50 ms", "p95 ms", "flips", "memory kB")
SHOWN = (
    "tta_requests_total",
    "tta_prediction_flips_total",
    "tta_batch_size_count",
    "tta_batch_size_sum",
    "tta_session_memory_bytes",
    "tta_text_cache_hits_total",
    "process_resident_memory_bytes",
)


@contextmanager
def open_board(count: Count) -> Iterator[Board]:
    """A context with the function to call after each reply."""
    if sys.stdout.isatty():
        with Live(get_renderable=lambda: _table(count), refresh_per_second=8):
            yield lambda: None  # `Live` reads the counts by itself
    else:
        yield lambda: None if count.frames % EVERY else print(_line(count), flush=True)


def summary(count: Count, seconds: float) -> Iterator[str]:
    """The final counts as plain lines; `seconds` is the whole duration."""
    yield ""
    yield "".join(head.rjust(11) for head in HEADS)
    for row in _rows(count):
        yield "".join(cell.rjust(11) for cell in row)
    yield f"{count.frames} frames in {seconds:.1f} s, {count.frames / seconds:.1f} a second"


def metric_lines(text: str) -> list[str]:
    """The lines of a few metrics in a scrape."""
    return [line for line in text.splitlines() if line.startswith(SHOWN)]


def _table(count: Count) -> Group:
    table = Table(*HEADS)
    for row in _rows(count):
        table.add_row(*row)
    return Group(table, Text(count.latest))  # `Text`, since a label may hold rich's markup


def _line(count: Count) -> str:
    cells = zip(HEADS[1:], _cells(count.all, count.memory))
    return "  ".join(f"{head} {cell}" for head, cell in cells) + f"  | {count.latest}"


def _rows(count: Count) -> Iterator[tuple[str, ...]]:
    for name, tally in count.by_strategy.items():
        yield name, *_cells(tally)
    yield "all", *_cells(count.all, count.memory)


def _cells(tally: Tally, memory: int | None = None) -> tuple[str, ...]:
    p50, p95 = (f"{percentile(tally.seconds, percent) * 1000:.1f}" for percent in (50, 95))
    whole = (str(number) for number in (tally.frames, tally.answers, tally.failed))
    return *whole, p50, p95, str(tally.flips), "" if memory is None else f"{memory / 1000:.1f}"
