"""The command `compare`: two evaluations of the same pictures, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson
from .text import json_line


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What `evaluate --json` printed.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The same for another model, template or version.")],
    as_json: AsJson = False,
) -> None:
    """Compare two evaluations of the same pictures, paired picture by picture."""
    from ..evaluate import compare as pairs  # imports numpy and torch for seconds

    names = [first.stem, second.stem] if first.stem != second.stem else [str(first), str(second)]
    made = pairs.compare(pairs.read_evaluation(first), pairs.read_evaluation(second), names)
    if as_json:
        print(json_line(pairs.comparison_json(made)))
    else:
        print("\n".join(pairs.comparison_lines(made, names)))
