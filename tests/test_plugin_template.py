"""The package in docs/plugin is built as a wheel, installed, and found by the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parents[1] / "docs" / "plugin"


def python(*arguments: str | Path, path: Path, at: Path = TEMPLATE) -> str:
    """What a Python says that has the plug-in at `path`."""
    places = [str(path), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=at,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel of the template is installed, as pip would: beside all other packages."""
    folder = tmp_path_factory.mktemp("plugin")
    python("-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "dist", path=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def test_the_service_lists_what_the_plug_in_has(installed: Path):
    for command, name in (("strategies", "sharpest"), ("reducers", "stripes")):
        lines = python("-m", "tta_service", command, "--json", path=installed, at=installed).splitlines()
        (entry,) = [one for one in map(json.loads, lines) if one["name"] == name]
        assert entry["paper"] == "You, 2026, https://example.org."


def test_the_service_answers_with_it(installed: Path, tmp_path: Path):
    from tests.rpc.conftest import jpeg

    (tmp_path / "photo.jpg").write_bytes(jpeg())
    flags = "--labels", "cat,dog", "--strategy", "sharpest", "--param", "views=4", "--reducer", "stripes", "--json"
    answer = json.loads(
        python("-m", "tta_service", "classify", tmp_path / "photo.jpg", *flags, path=installed, at=tmp_path)
    )
    assert answer["strategy"]["name"] == "sharpest" and answer["label"] in ("cat", "dog")


def test_its_own_tests_pass(installed: Path):
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", TEMPLATE, "tests", path=installed)
    assert "2 passed" in said
