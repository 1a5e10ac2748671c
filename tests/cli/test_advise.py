"""`tta-service advise`: a folder of unlabelled images in, one recommendation out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.cli.conftest import Run
from tta_service.cli import main
from tta_service.evaluate.advise.trials import VIEW_COUNTS, affordable_views

NAMES = "flower,temple,cat,tractor"


@pytest.fixture(name="run")
def run_advise(run: Run) -> Run:
    """The command on one core."""
    return lambda *arguments: run("advise", *arguments, "--set", "lanes.cores=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen crops of two photographs."""
    root, draw = tmp_path_factory.mktemp("images"), torch.Generator().manual_seed(0)
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (root / name).mkdir()
        for n in range(9):
            left, top = (int(torch.randint(120, (), generator=draw)) for _ in range(2))
            Image.fromarray(pixels[top : top + 300, left : left + 400]).save(root / name / f"{n}.jpg")
    return root


@pytest.mark.slow
def test_it_recommends_with_reasons_and_a_table(run: Run, folder: Path):
    asked = ["--images", folder, "--labels", NAMES, "--strategies", "mean,tda,vb_weights", "--views", "4"]
    code, out, _ = run(*asked)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Looked at 18 images. Take `")
    table = [line.split()[0] for line in lines if "±" in line and line.split()[0] in ("mean", "tda", "vb_weights")]
    assert sorted(table) == ["mean", "tda", "vb_weights"]
    assert "measured on the images that folders label" in lines[-3]
    assert lines[-1].startswith(f"tta-service classify FILE... --labels {NAMES} ")


@pytest.mark.slow
def test_without_labels_it_says_so_and_its_command_runs(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["--images", folder, "--labels", "bird,a boat", "--strategies", "mean", "--views", "4", "--template", "{}"]
    code, out, _ = run(*asked)
    *_, doubt, _, command = out.splitlines()
    assert code == 0 and doubt.endswith("Check it with labels.")
    words = shlex.split(command)
    assert words[:5] == ["tta-service", "classify", "FILE...", "--labels", "bird,a boat"] and "--template" in words
    with pytest.raises(SystemExit) as ended:
        main(["classify", str(folder / "flower" / "0.jpg"), *words[3:], "--set", "lanes.cores=1"])
    assert not ended.value.code and capsys.readouterr().out


@pytest.mark.slow
def test_folders_name_the_classes_where_no_labels_are_given(run: Run, folder: Path, tmp_path: Path):
    asked = ["--strategies", "zero_shot", "--views", "2", "--json"]
    code, out, _ = run("--images", folder, *asked)
    said = json.loads(out)
    assert code == 0 and "--labels flower,temple" in said["command"] and said["opinions"][0]["right"] is not None
    assert said["templates"] and all(one["right"] is not None for one in said["templates"])
    assert "two labels" in run("--images", folder / "flower", *asked)[2]
    assert "not a folder" in run("--images", tmp_path / "nowhere", *asked)[2]


@pytest.mark.slow
def test_the_same_as_json_and_the_same_again(run: Run, folder: Path):
    asked = [
        "--images",
        folder,
        "--labels",
        NAMES,
        "--strategies",
        "zero,tda",
        "--views",
        "4",
        "--count",
        "16",
        "--json",
    ]
    first, second = json.loads(run(*asked)[1]), json.loads(run(*asked)[1])
    assert [one["name"] for one in first["opinions"]] == ["zero_shot", "zero", "tda"]
    assert [one["views"] for one in first["opinions"]] == [1, 4, 1]
    for one, other in zip(first["opinions"], second["opinions"]):
        assert (one["gain"], one["stable"], one["entropy"]) == pytest.approx(
            (other["gain"], other["stable"], other["entropy"])
        )
    assert first["opinions"][0]["gain"] == 0
    assert all(0 <= one["stable"] <= 1 and one["seconds"] > 0 for one in first["opinions"])
    assert first["strategy"] in ("zero_shot", "zero", "tda")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strategies", "magic"], "magic"),
        (["--deadline", "soon"], "deadline as 50ms"),
        (["--deadline", "0ms"], "deadline as 50ms"),
    ],
)
def test_a_mistake_takes_one_line(run: Run, folder: Path, words: list[str], message: str):
    code, out, err = run("--images", folder, "--labels", NAMES, *words)
    assert code == 2 and message in err and out == "" and err.count("\n") == 1


def test_too_few_images_or_labels_are_refused(run: Run, folder: Path, tmp_path: Path):
    code, _, err = run("--images", folder, "--labels", "flower")
    assert code == 2 and "two labels" in err
    code, _, err = run("--images", tmp_path, "--labels", NAMES)
    assert code == 2 and "at least 16" in err
    code, _, err = run("--images", tmp_path / "nowhere", "--labels", NAMES)
    assert code == 2 and "not a folder" in err


@pytest.mark.slow
def test_images_that_cannot_be_read_are_reported_and_left_out(run: Run, folder: Path, tmp_path: Path):
    some = tmp_path / "some"
    shutil.copytree(folder, some)
    (some / "gone.jpg").symlink_to("nowhere")
    (some / "inner.png").mkdir()
    (some / "text.webp").write_text("no picture")
    (some / os.fsdecode(b"caf\xe9.jpg")).symlink_to("nowhere")
    code, out, err = run("--images", some, "--labels", NAMES, "--strategies", "mean", "--views", "4", "--json")
    assert code == 0 and json.loads(out)["opinions"]
    lines = sorted(err.splitlines())
    assert len(lines) == 4 and lines[0] == f"tta-service: {some}/caf\\udce9.jpg: No such file or directory"
    assert lines[1:3] == [
        f"tta-service: {some}/gone.jpg: No such file or directory",
        f"tta-service: {some}/inner.png: Is a directory",
    ]
    assert lines[3].startswith(f"tta-service: {some}/text.webp: the image is neither a JPEG")


def test_as_many_views_as_the_deadline_allows():
    assert affordable_views(0.001, None) == 64
    assert affordable_views(0.001, 0.05) == 32
    assert affordable_views(0.001, 0.1) == 64
    assert affordable_views(1.0, 0.05) == VIEW_COUNTS[-1]
