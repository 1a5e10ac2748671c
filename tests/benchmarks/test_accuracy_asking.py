"""The asking mode: from pictures to a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main


@pytest.mark.slow
def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(12):
            Image.fromarray(pixels[30 * n : 30 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--shifts", "none"]
    asked += ["--answers", "1,3", "--orders", "2", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main(["asking", *asked]) == 0
    found = json.loads((tmp_path / "accuracy_asking.json").read_text())["rows"]
    first = [row for row in found if row["answers"] == 1]
    assert [row["rule"] for row in first] == ["random", "asking", "margin", "coverage"]
    assert all(row["pictures"] == 12 and row["classes"] == 1 and row["orders"] == 2 for row in first)
    assert all(row["gain"] == 0 for row in found if row["rule"] == "random")
    assert "| pictures, clean | 1 |" in (tmp_path / "accuracy_asking.md").read_text()
