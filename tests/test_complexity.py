"""No function has more branches, and no file more lines, than a reader can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from radon.complexity import cc_visit

ROOT = Path(__file__).parents[1]
FOLDERS = ROOT / "tta_service", ROOT / "clients" / "python" / "tta_client"
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py")) if path.parent.name != "v1"]  # generated


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_functions_are_simple(folder: Path) -> None:
    """Cyclomatic complexity of 12 at most, except in the strategies, whose formulas are one thing."""
    complex_ones = {
        f"{path.relative_to(ROOT)} {block.name}": block.complexity
        for path in FILES
        if folder in path.parents and path.parent.name != "strategies"
        for block in cc_visit(path.read_text())
        if block.complexity > 12
    }
    assert not complex_ones


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: length for name, length in lengths.items() if length > 200}
