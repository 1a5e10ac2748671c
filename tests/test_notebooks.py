"""The notebooks run from top to bottom, and say what their text promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def run(name: str, folder: Path) -> str:
    """What the cells of a notebook print."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


@pytest.mark.slow
def test_the_cat_is_learnt(tmp_path: Path):
    said = run("teach.ipynb", tmp_path)
    assert re.search(r"^coffee   coffee .*\nrocket   rocket .*\ncat      rocket", said, re.MULTILINE)
    assert len(re.findall(r"^moved.* rocket   -> cat ", said, re.MULTILINE)) == 2 and said.endswith(
        "coffee rocket\ncat\n"
    )


@pytest.mark.slow
def test_lessons_help_most(tmp_path: Path):
    right = {
        name: int(share) for name, share in re.findall(r"^(\w+) +(\d+)% right", run("compare.ipynb", tmp_path), re.M)
    }
    assert len(right) == 8 and right["taught"] == max(right.values()) > right["zero_shot"] + 20


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_no_output_is_committed(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_there_are_two():
    assert len(list(NOTEBOOKS.glob("*.ipynb"))) == 2
