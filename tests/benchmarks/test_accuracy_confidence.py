"""The confidence mode: from pictures to a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main
from benchmarks.accuracy.confidence import error_of


def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(10):
            Image.fromarray(pixels[30 * n : 30 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--shifts", "none,noise"]
    asked += ["--strategies", "zero_shot,taught", "--lessons", "2", "--orders", "1", "--uniform", "9", "--draws", "2"]
    assert main(["confidence", *asked, "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "accuracy_confidence.json").read_text())
    assert [row["strategy"] for row in found["calibration"]] == ["zero_shot", "taught"] * 2
    assert all(row["pictures"] == 16 and row["range_ece"] >= 0 for row in found["calibration"])
    assert [(row["lessons"], row["draws"]) for row in found["coverage"]] == [(9, 2)] * 2
    assert "| `taught` | 2 | 16 |" in (tmp_path / "accuracy_confidence.md").read_text()


def test_the_error_of_confidences_is_nothing_where_they_hold_and_all_where_they_do_not():
    half = np.full(10, 0.5)
    assert error_of(half, np.arange(10) % 2 == 0) == pytest.approx(0)
    assert error_of(np.ones(10), np.zeros(10, bool)) == pytest.approx(1)
