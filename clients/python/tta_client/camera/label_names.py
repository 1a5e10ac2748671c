"""The names to choose from, as the command line gives them."""

from __future__ import annotations

import argparse
from collections import Counter

from .photographs import LABELS
from .sources import Source
from .text import make_printable, read_lines, require_utf8
from .virtual import VirtualSource


def parse_labels(options: argparse.Namespace, source: Source | None) -> tuple[str, ...]:
    """The names of --labels, by default those of the virtual camera's pictures. Raises ValueError, OSError."""
    text = options.labels
    if not text and isinstance(source, VirtualSource):
        return LABELS
    try:
        if text.startswith("@"):
            return _read_names(text[1:], options.allow_duplicates)
        names = tuple(filter(None, map(str.strip, require_utf8(text).split(","))))
    except ValueError as error:
        raise ValueError(f"--labels: {error}") from error
    if not names:
        raise ValueError("--labels is needed: names separated by commas, or @FILE with one name a line")
    return names


def _read_names(file: str, allow_duplicates: bool) -> tuple[str, ...]:
    names = tuple(read_lines(file))
    if not names:
        raise ValueError(f"{make_printable(file)} holds no names")
    name, count = Counter(names).most_common(1)[0]
    if count > 1 and not allow_duplicates:
        sentence = f"{make_printable(file)} holds {name!r} more than once"
        raise ValueError(f"{sentence}, which --allow-duplicates takes as several classes")
    return names
