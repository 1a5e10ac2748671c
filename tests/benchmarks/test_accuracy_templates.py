"""The mode of templates: from pictures to a table."""

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
    asked += ["--looked", "8", "--orders", "2", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main(["templates", *asked]) == 0
    found = json.loads((tmp_path / "accuracy_templates.json").read_text())["rows"]
    assert [(row["labelled"], row["orders"], row["pictures"]) for row in found] == [(True, 2, 16), (False, 2, 16)]
    for row in found:
        assert sum(row["chosen"].values()) == 2 and row["worst"] <= row["advised"] - row["default"]
        if row["chosen"] == {"": 2}:
            assert row["advised"] == row["default"]
    assert "| pictures, clean | yes | 16 |" in (tmp_path / "accuracy_templates.md").read_text()
