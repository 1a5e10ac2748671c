"""The signs mode: from pictures to a table of worlds."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main


def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(3):
            Image.fromarray(pixels[40 * n : 40 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--shifts", "none,noise"]
    assert main(["signs", *asked, "--names", "2", "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    rows = {row["world"]: row for row in json.loads((tmp_path / "accuracy_signs.json").read_text())["rows"]}
    assert set(rows) == {"known", "scene", "noise 3"}
    assert all(row["names"] == 2 and 1 <= row["classes"] <= 2 and 0 <= row["entropy"] <= 1 for row in rows.values())
    assert rows["scene"]["tells"] <= rows["known"]["tells"]
    assert "| known |" in (tmp_path / "accuracy_signs.md").read_text()
