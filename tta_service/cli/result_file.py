"""Answers in a file, which a later run goes on with."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..core.errors import BadRequest
from ..core.request import Report
from .output import to_json
from .text import json_line

COLUMNS = "file", "label", "index", "score", "zero_shot", "zero_shot_score", "strategy", "views"


class ResultFile:
    """Appends a line for each answer; `done` are the names of those that an earlier run has left there."""

    def __init__(self, file: IO[str], as_csv: bool, done: set[str]) -> None:
        self._file, self._csv, self.done = file, as_csv, done

    def add(self, report: Report) -> None:
        """Raises OSError."""
        self._file.write(_to_row(report) if self._csv else json_line(to_json(report)) + "\n")
        self._file.flush()


@contextmanager
def open_results(path: Path) -> Iterator[ResultFile]:
    """The file of `--out`, a .csv or a .jsonl. A line that a killed run has left half-written is cut off.

    Raises `BadRequest` for another ending or a file of something else, OSError for one that cannot be written.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise BadRequest(f"--out {path} must end in .csv or .jsonl", "out")
    as_csv = path.suffix.lower() == ".csv"
    with open(path, "a+", encoding="utf-8", newline="") as file:
        file.seek(0)
        try:
            text = file.read()
            whole = _find_whole(text, as_csv)
            done = _read_names(whole, as_csv)
        except (ValueError, KeyError, TypeError, csv.Error):
            raise BadRequest(f"--out {path} holds something else than results of this command", "out") from None
        if whole != text:
            os.ftruncate(file.fileno(), len(whole.encode()))
        if as_csv and not whole:
            file.write(",".join(COLUMNS) + "\n")
        yield ResultFile(file, as_csv, done)


def _find_whole(text: str, as_csv: bool) -> str:
    """The text up to its last complete record. Raises ValueError if the only record is torn and none of ours."""
    whole = _find_whole_csv(text) if as_csv else text[: text.rfind("\n") + 1]
    begin = ",".join(COLUMNS) if as_csv else '{"file": '
    if not whole and not text.startswith(begin) and not begin.startswith(text):
        raise ValueError(text)
    return whole


def _find_whole_csv(text: str) -> str:
    """A quoted name may hold line ends."""
    end, quoted = 0, False
    for place, sign in enumerate(text):
        quoted ^= sign == '"'
        if sign == "\n" and not quoted:
            end = place + 1
    return text[:end]


def _read_names(text: str, as_csv: bool) -> set[str]:
    if not as_csv:
        return {json.loads(line)["file"] for line in text.splitlines()}
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if text and tuple(rows.fieldnames or ()) != COLUMNS:
        raise ValueError(rows.fieldnames)
    return {row["file"] for row in rows}


def _to_row(report: Report) -> str:
    answer, out = to_json(report), io.StringIO()
    plain = answer["zero_shot"][0]
    values = (answer["file"], answer["label"], answer["index"], f"{answer['score']:.6g}", plain["label"],
              f"{plain['score']:.6g}", answer["strategy"]["name"], answer["views"])  # fmt: skip
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()
