"""Files that come with pictures: text, and tables of pictures and their labels as CSV, TSV or JSON Lines."""

from __future__ import annotations

import csv
import json
import logging
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = ("file_name", "filename", "file", "path", "image", "image_path")
LABEL = ("class_name", "label_name", "label", "class", "category", "target")
LISTED = {".csv", ".tsv", ".jsonl"}
Listed = tuple[Path, str]  # a picture and its label
log = logging.getLogger(__name__)


def read_text(file: Path) -> str:
    """UTF-8, or UTF-16 with a mark of its order. Raises ValueError, OSError."""
    data = file.read_bytes()
    try:
        return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is no UTF-8; save it as UTF-8") from None


class NoLabels(ValueError):
    """A table of pictures has no column of labels."""


def read_pairs(table: Path) -> list[Listed] | None:
    """The pictures of a table that are there, and their labels; None: it has no column of pictures.

    Raises ValueError, OSError.
    """
    rows = read_rows(table)
    columns = {str(key).strip().lower(): key for key in (rows[0] if rows else ())}
    file, label = (_first(columns, names) for names in (FILE, LABEL))
    if file is None:
        return None
    if label is None:
        raise NoLabels(f"{table} has no column of labels ({', '.join(LABEL)}), only {', '.join(columns)}")
    pairs = [(table.parent / str(row[file]), _label(row.get(label), table)) for row in rows if row.get(file)]
    there = [(path, name) for path, name in pairs if path.is_file()]
    if len(there) < len(pairs):
        log.warning("%s: %d of %d pictures are not there", table, len(pairs) - len(there), len(pairs))
    return there


def _first(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((columns[name] for name in names if name in columns), None)


def read_rows(table: Path) -> list[dict[str, Any]]:
    """By column. Raises ValueError, OSError."""
    text = read_text(table)
    try:
        if table.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            if odd := [row for row in rows if not isinstance(row, dict)]:
                raise ValueError(
                    f'a line is to be an object such as {{"file_name": …, "label": …}}, not {odd[0]!r:.60}'
                )
            return rows
        head = text.partition("\n")[0]
        between = max(",;\t", key=head.count)
        return list(csv.DictReader(text.splitlines(), delimiter=between))
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"{table}: {error}") from None


def _label(value: Any, table: Path) -> str:
    if not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"{table}: a label is a word, not {value!r}")
    return str(value).strip()
