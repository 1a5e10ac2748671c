"""`tta-service evaluate` and `compare`: pictures with labels in, a table, files and a report out."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from typer.main import get_command

from tests.cli.conftest import Run
from tta_service.cli.commands import make_app
from tta_service.cli.options import MODEL
from tta_service.evaluate.papers import MEANS
from tta_service.evaluate.stand_ins import write_stand_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of two photographs, and one of the files is none."""
    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (root / name).mkdir()
        for n in range(6):
            left, top = draw.integers(0, 300, 2)
            Image.fromarray(pixels[top : top + 100, left : left + 120]).save(root / name / f"{n}.png")
    (root / "flower" / "text.jpg").write_text("no picture")
    return root


@pytest.mark.slow
def test_a_folder_becomes_a_table_a_report_and_files_to_compare(run: Run, folder: Path, tmp_path: Path):
    asked = ["evaluate", folder, "--strategies", "mean;tda", "--views", "4", "--cache", tmp_path / "cache"]
    asked += ["--repeat", "2", "--set", "lanes.cores=1"]
    code, out, err = run(*asked)
    assert code == 0 and err.splitlines()[-1] == "report: evaluation.html"
    assert out.startswith(f"12 pictures of 2 classes in {folder.name}, model pocket")
    assert {line.split()[0] for line in out.splitlines() if "±" in line} >= {"zero_shot", "mean:views=4", "tda"}
    assert "text.jpg: the image is neither a JPEG" in out
    page = (tmp_path / "evaluation.html").read_text("utf-8")
    assert shlex.join(["tta-service", "evaluate", str(folder), "--strategies", "mean;tda"]) in page.replace(
        "&#x27;", "'"
    )
    code, out, _ = run(*asked, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and len(rows) == 12 * (1 + 1 + 2)
    code, out, _ = run(*asked, "--json")
    (tmp_path / "a.json").write_text(out)
    held = json.loads(out)
    right = [row["right"] == "1" for row in rows if row["strategy"] == "zero_shot"]
    assert code == 0 and held["rows"][0]["top1"] == pytest.approx(100 * np.mean(right), abs=0.01)
    code, out, _ = run(*asked, "--json", "--template", "{}", "--report", "other.html")
    (tmp_path / "b.json").write_text(out)
    code, out, _ = run("compare", "a.json", "b.json")
    assert code == 0 and out.startswith("templates: a photo of a {}. in a, {} in b")
    assert json.loads(run("compare", "a.json", "b.json", "--json")[1])["rows"][0]["strategy"] == "zero_shot"


@pytest.mark.slow
def test_a_dry_run_of_a_paper_reads_every_layout(run: Run):
    code, out, _ = run("evaluate", "--paper", "mta", "--dry-run", "--set", "lanes.cores=1")
    assert code == 0 and "the figures mean nothing" in out
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert rows["the paper (M)"].split()[3:8] == ["69.3", "57.4", "63.6", "76.9", "48.6"]
    assert rows["TTABC's re-run with ViT-B-16"].split()[4:7] == ["69.0", "54.6", "63.2"]
    assert rows["ours"].count("±") == 15 + len(MEANS) - 1  # ImageNet-C is another protocol's


@pytest.mark.slow
def test_a_paper_runs_on_the_sets_that_are_there_with_the_model_that_is_asked_for(run: Run, tmp_path: Path):
    write_stand_in("dtd", tmp_path / "data")
    asked = ["evaluate", tmp_path / "data", "--paper", "TDA", "--model", "pocket", "--cache", tmp_path / "cache"]
    code, out, _ = run(*asked, "--set", "lanes.cores=1")
    assert code == 0 and "left out: imagenet_a: No such file" in out
    assert "The paper's figures are of ViT-B-16; ours are of pocket and do not compare with them." in out
    (row,) = [line for line in out.splitlines() if line.startswith("ours")]
    assert row.count("±") == 1
    assert "TPT: " in run("evaluate", "--paper", "list")[1]


def test_the_documentation_names_every_option_of_its_own_and_no_other():
    params = get_command(make_app(["evaluate"])).commands["evaluate"].params  # type: ignore[attr-defined]
    options = {one.name: {*one.opts, *one.secondary_opts} for one in params}
    text = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text("utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert named <= set().union(*options.values())
    own = options.keys() - {*MODEL, "config", "sets", "data"}
    assert [name for name in sorted(own) if not options[name] & named] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate"], "DATA is missing: a folder of class folders"),
        (["evaluate", "--paper", "ZERO"], "DATA is missing"),
        (["evaluate", "nowhere"], "there is no such file or folder; DATA is a folder of class folders"),
        (["evaluate", "PICTURES", "--strategies", "magic"], "magic"),
        (["evaluate", "PICTURES", "--strategies", ""], "--strategies names none"),
        (["evaluate", "PICTURES", "--labels", ","], "--labels names no class"),
        (["evaluate", "PICTURES", "--strategies", "mean:views=0"], "views"),
        (["evaluate", "PICTURES", "--shift", "rain:3"], "rain/3: a shift is one of"),
        (["evaluate", "PICTURES", "--shift", "fog:9"], "a severity 1 to 5"),
        (["evaluate", "PICTURES", "--order", "sorted"], "an order is shuffled, given, classes"),
        (["evaluate", "PICTURES", "--lessons", "some"], "0,1,4"),
        (["evaluate", "PICTURES", "--labels", "cat,dog,car"], "no name for 2 of the pictures' 2 classes"),
        (["evaluate", "PICTURES/flower/0.png"], "this is no data set"),
        (["evaluate", "PICTURES", "--json", "--csv"], "give one of them"),
        (["evaluate", ".", "--dry-run"], "--dry-run is of --paper NAME alone"),
        (["evaluate", ".", "--paper", "TDA", "--json"], "--paper does not go together with --json: what is compared"),
        (["evaluate", ".", "--paper", "TDA", "--labels", "a,b", "--no-guard"], "together with --labels, --guard: what"),
        (["evaluate", ".", "--paper", "nobody"], "there are protocols of CLIP, TPT"),
        (["evaluate", "PICTURES", "--report", "none/a.html"], "the report cannot be written there"),
        (["evaluate", "PICTURES", "--report", "."], ". is a folder: --report names the file to be written"),
        (["compare", "PICTURES/flower/0.png", "PICTURES/flower/0.png"], "is no evaluation"),
        (["compare", "a.json", "b.json"], "a.json: No such file"),
    ],
)
def test_a_mistake_takes_one_line(run: Run, folder: Path, words: list[str], message: str):
    code, out, err = run(*(word.replace("PICTURES", str(folder)) for word in words))
    assert code == 2 and message in err.splitlines()[-1] and "Traceback" not in err and out == ""
