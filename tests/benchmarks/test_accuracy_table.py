"""The whole way: pictures to features, features through the engine, answers to a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main
from benchmarks.published import FILE, write
from tta_service.clip.load import load
from tta_service.core.labels import LabelSet
from tta_service.evaluate.layouts import FINE_GRAINED, IMAGENETS


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of two photographs, a folder for each."""
    root, draw = tmp_path_factory.mktemp("pictures"), torch.Generator().manual_seed(0)
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (root / name).mkdir()
        for n in range(12):
            left, top = (int(torch.randint(300, (), generator=draw)) for _ in range(2))
            Image.fromarray(pixels[top : top + 64, left : left + 64]).save(root / name / f"{n}.png")
    return root


def words(mode: str, pictures: Path, folder: Path, *more: str) -> list[str]:
    common = [
        "--data",
        f"folder:{pictures}",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--orders",
        "2",
    ]
    return [mode, *common, "--work", str(folder / "work"), "--out", str(folder / "out"), *more]


def results(folder: Path, name: str) -> dict:
    return json.loads((folder / "out" / f"{name}.json").read_text())


def test_a_table_is_made_and_made_again_from_what_is_kept(pictures: Path, tmp_path: Path):
    asked = ["--strategies", "mta;tda;swap_prompt;vb_weights", "--views", "4", "--count", "16", "--severities", "2"]
    asked = words("table", pictures, tmp_path, *asked, "--shifts", "none,noise", "--orders-of", "swap_prompt=1")
    assert main(asked) == 0
    first = results(tmp_path, "accuracy")
    rows = {(row["shift"], row["contender"]): row for row in first["rows"]}
    assert {name for _, name in rows} == {
        "zero_shot",
        "mta:views=4",
        "mean:views=4",
        "tda",
        "swap_prompt",
        "vb_weights",
    }
    assert rows["noise", "tda"]["orders"] == 2
    assert {rows["none", name]["orders"] for name in ("mta:views=4", "swap_prompt", "zero_shot")} == {1}
    assert rows["none", "mta:views=4"]["views"] == 4 and rows["none", "vb_weights"]["views"] == 10
    assert rows["none", "mta:views=4"]["beside"] == "mean:views=4"
    assert all(
        row["difference"] == 0 and row["verdict"] == "" for (_, name), row in rows.items() if name == "zero_shot"
    )
    assert all(row["adapt_seconds"] > 0 and row["encode_seconds"] > 0 for row in first["rows"])
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.np[yz]")}
    assert main(asked) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.np[yz]")} == files
    assert results(tmp_path, "accuracy")["rows"] == [
        row | {"encode_seconds": again["encode_seconds"]}
        for row, again in zip(first["rows"], results(tmp_path, "accuracy")["rows"])
    ]
    out = {path.name for path in (tmp_path / "out").iterdir()}
    plots = {"accuracy_cost.png", "accuracy_reliability.png"}
    assert out == {"accuracy.json", "accuracy.csv", "accuracy.md"} | plots
    assert (tmp_path / "out" / "accuracy.csv").read_text().count("\n") == 1 + len(first["rows"])
    assert "| `mta:views=4` | 1 |" in (tmp_path / "out" / "accuracy.md").read_text()


def test_zero_shot_is_the_answer_of_the_model_without_the_engine(pictures: Path, tmp_path: Path):
    asked = ["--strategies", "zero_shot", "--count", "24", "--shifts", "none"]
    assert main(words("table", pictures, tmp_path, *asked)) == 0
    clip, right = load(device="cpu"), 0
    text = clip.text_space(LabelSet(("flower", "temple"))).features
    for place, name in enumerate(("flower", "temple")):
        for path in (pictures / name).iterdir():
            pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
            right += int((clip.encode_image(pixels) @ text.T).argmax() == place)
    assert results(tmp_path, "accuracy")["rows"][0]["top1"] == pytest.approx(100 * right / 24, abs=0.01)


def test_streams_that_drift_with_and_without_reset(pictures: Path, tmp_path: Path):
    asked = ["--strategies", "tda,stata", "--count", "24", "--other", "noise/3"]
    assert main(words("drift", pictures, tmp_path, *asked)) == 0
    rows = results(tmp_path, "accuracy_drift")["rows"]
    tried = {(row["protocol"], row["contender"], row["reset"]) for row in rows}
    assert ("abrupt", "tda", True) in tried and ("stationary", "tda", True) not in tried
    assert ("recurring", "zero_shot", True) not in tried
    assert {row["protocol"] for row in rows} == {
        *("stationary", "abrupt", "gradual", "recurring", "imbalanced", "correlated")
    }
    assert (tmp_path / "out" / "accuracy_drift.png").stat().st_size > 10_000
    assert "| `tda`, reset |" in (tmp_path / "out" / "accuracy_drift.md").read_text()


def test_advice_is_judged_on_pictures_that_it_has_not_seen(pictures: Path, tmp_path: Path):
    asked = ["--strategies", "mean,tda", "--views", "8", "--count", "24", "--shifts", "none"]
    assert main(words("judge", pictures, tmp_path, *asked)) == 0
    said = results(tmp_path, "accuracy_advise")
    assert [row["deadline"] for row in said["rows"]] == [None, 0.05]
    assert all(row["looked_at"] == row["judged_on"] == 12 for row in said["rows"])
    assert all(row["chosen"] in ("zero_shot", "mean", "tda") and row["best"] >= row["advised"] for row in said["rows"])
    assert said["verdicts"][0]["advised"] == said["rows"][0]["advised"]
    assert "| none | 1 |" in (tmp_path / "out" / "accuracy_advise.md").read_text()


def test_adapting_helps_in_the_worlds_where_it_must(tmp_path: Path):
    for word in ("cat", "dog", "car", "tree", "boat", "apple", "chair", "train", "horse", "bread", "river", "guitar"):
        (tmp_path / "many" / word).mkdir(parents=True)
        for n in range(5):  # never decoded: the names make the fake world, their number its length
            Image.new("RGB", (8, 8)).save(tmp_path / "many" / word / f"{n}.png")
    asked = words("control", tmp_path / "many", tmp_path, "--strategies", "mean,stata", "--count", "60")
    assert main(asked) == 0
    rows = {(row["shift"], row["contender"]): row for row in results(tmp_path, "accuracy_control")["rows"]}
    assert rows["views", "mean"]["difference"] > 0
    assert rows["clusters", "stata"]["last_quarter"] > 0
    assert rows["lies", "mean"]["difference"] < rows["views", "mean"]["difference"]


def test_defaults_are_chosen_on_the_tune_split_alone(pictures: Path, tmp_path: Path, capsys):
    assert main(words("tune", pictures, tmp_path)) == 2
    assert "tune split only" in capsys.readouterr().err


def test_a_dry_run_of_every_layout(tmp_path: Path):
    data = [word for name in (*IMAGENETS, *FINE_GRAINED) for word in ("--data", f"{name}:NOWHERE")]
    asked = [
        "--model",
        "ViT-B-16",
        "--pretrained",
        "openai",
        "--templates",
        "papers",
        "--shifts",
        "none",
        "--count",
        "0",
    ]
    asked += ["--strategies", "mean:augment=augmix;tda", "--threads", "1", "--dry-run", "--out", str(tmp_path)]
    assert main(["table", *data, *asked]) == 0
    rows = json.loads((tmp_path / "accuracy.json").read_text())["rows"]
    assert {row["set"] for row in rows} == {*IMAGENETS, *FINE_GRAINED}
    assert all(row["classes"] == 3 and row["pictures"] == 3 for row in rows)


def test_the_published_numbers_stand_as_the_package_has_them():
    assert FILE.read_text("utf-8") == write()
