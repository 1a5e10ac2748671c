"""The options of tta-camera that say who calls, and encrypt the connection."""

from __future__ import annotations

import argparse

from ..channel import TLS
from .text import make_printable, read_lines


def make_tls(options: argparse.Namespace) -> TLS | None:
    """What encrypts the connection; None: nothing does. Raises ValueError."""
    if (options.cert is None) != (options.key is None):
        raise ValueError("--cert and --key are given together")
    return TLS(options.ca, options.cert, options.key) if options.tls or options.ca or options.cert else None


def read_token(text: str) -> str:
    """The API key, or the first line of `@FILE`, which keeps it out of the list of processes. Raises ValueError."""
    if not text.startswith("@"):
        return text
    if lines := read_lines(text[1:]):
        return lines[0]
    raise ValueError(f"--token: {make_printable(text[1:])} is empty; its first line must hold the key")
