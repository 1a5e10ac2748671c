"""The guard mode: from pictures to a table, and what its summary says."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main
from benchmarks.accuracy.guard import GuardRow, summary


def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(6):
            Image.fromarray(pixels[40 * n : 40 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--strategies", "tda"]
    asked += ["--shifts", "noise", "--count", "12", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main(["guard", *asked]) == 0
    rows = json.loads((tmp_path / "accuracy_guard.json").read_text())["rows"]
    streams = ["clean", "abrupt", "recovered", "recurring", "imbalanced", "correlated", "noise 3"]
    assert [row["stream"] for row in rows] == streams
    assert all(row["bare"] == row["reset"] and row["frames"] == 12 for row in rows), "12 frames see no reset"
    assert "| `tda` |" in (tmp_path / "accuracy_guard.md").read_text()


def test_the_summary_says_the_largest_loss_and_what_is_kept():
    def row(bare: float, guarded: float, reset: float) -> GuardRow:
        return GuardRow("set", "clean", "tda", 100, 50.0, bare, guarded, 0.5, reset, 1.0)

    text = " ".join(summary([row(-3.0, -1.0, -2.0), row(2.0, 1.5, 1.0)]))
    for part in ("bare -0.50, guarded +0.25, reset -0.50", "+0.75 ±", "-3.00, -1.00", "-1.98", "+2.00, guarded +1.50"):
        assert part in text
