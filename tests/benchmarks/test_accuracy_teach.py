"""The teach mode: from pictures to a table of lessons, and that no lesson is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy import site_sums
from benchmarks.accuracy.command import main
from benchmarks.accuracy.teach import Row, World, join, measure
from tta_service import TextSpace
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import TAUGHT
from tta_service.maths import unit


def make_world(classes: int = 3, each: int = 20) -> World:
    """A world whose text tells nothing about its classes."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, 16, generator=draw)
    labels = np.repeat(np.arange(classes), each)
    features = unit(centres[labels] + 0.5 * torch.randn(len(labels), 16, generator=draw))
    return World(Cell("made up"), TextSpace.of(torch.randn(classes, 16, generator=draw)), features[:, None], labels)


def test_lessons_are_drawn_evenly_and_never_measured():
    world = make_world()
    for order in range(5):
        taught, measured = world.split(2, 4, order)
        assert sorted(world.labels[taught]) == [0, 0, 1, 1, 2, 2]
        assert not set(taught) & set(measured)
        assert set(measured) == set(world.split(4, 4, order)[1])


def test_every_teachable_strategy_gains_where_the_text_tells_nothing():
    rows = list(measure(make_world(), ["zero_shot", "class_means", "taught", "gda"], [0, 8], 2))
    assert [row.gain for row in rows if row.lessons == 0 or row.strategy == "zero_shot"] == [0.0] * 5
    assert all(row.gain > 20 for row in rows if row.lessons and row.strategy != "zero_shot")
    assert {row.pictures for row in rows} == {36}


def test_exact_sums_are_worth_nearly_the_lessons_and_much_noise_is_worth_nothing():
    rows = list(site_sums.measure(make_world(each=30), ["gda", "taught"], [8, 99], 2, [0.01], 1e-5))
    assert {row.lessons for row in rows} == {8}  # with 99 no picture would be left
    for strategy in ("gda", "taught"):
        lessons, exact, noisy = (row for row in rows if row.strategy == strategy)
        assert lessons.gain > 20 and abs(exact.gain - lessons.gain) < 15 and exact.heard == 100
        assert noisy.gain == noisy.heard == 0


def test_a_run_is_kept_until_its_strategy_changes_and_rows_join_those_of_other_commands(tmp_path: Path):
    world = make_world()
    first, again = (list(measure(world, ["tip_adapter"], [0, 2], 1, 0.0, tmp_path / "kept")) for _ in range(2))
    assert first == again and len(list((tmp_path / "kept").iterdir())) == 2  # seconds, too
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"about": {"command": ["a"]}, "rows": [vars(first[0]), vars(first[1])]}))
    newer = Row(**{**vars(first[1]), "top1": 1.0})
    assert join([newer], "b", path) == ([first[0], newer], ["a", "b"])


def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(6):
            Image.fromarray(pixels[40 * n : 40 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--orders", "1"]
    asked += ["--shifts", "none", "--lessons", "0,2", "--wrong", "0.5", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main(["teach", *asked]) == 0
    rows = json.loads((tmp_path / "accuracy_teach.json").read_text())["rows"]
    assert {row["strategy"] for row in rows} == {"zero_shot", "class_means", *TAUGHT}
    assert {row["pictures"] for row in rows} == {8}
    assert "| `taught` |" in (tmp_path / "accuracy_teach.md").read_text()
    assert (tmp_path / "accuracy_teach.png").exists()
