"""The HTML report of an evaluation."""

from __future__ import annotations

from pathlib import Path

from ..evaluation import Evaluation
from .page import make_page

__all__ = ["make_page", "write_report"]


def write_report(made: Evaluation, file: Path, command: str) -> None:
    """Write one self-contained file. Raises OSError."""
    page = make_page(made, command)
    partial = file.with_name(file.name + ".part")
    partial.write_text(page, "utf-8")
    partial.replace(file)
