"""The documentation as a site: built without a warning, with the pages that are made of the code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_docs import ROOT, knobs
from tta_service.reducers import catalogue as reducers
from tta_service.settings import Settings
from tta_service.strategies import catalogue as strategies


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(site: Path, page: str) -> str:
    """What a page shows, without its tags."""
    return re.sub(r"<[^>]*>", "", (site / page / "index.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_strategy_and_reducer_has_a_page_with_its_parameters(site: Path):
    for kind, catalogue in (("strategies", strategies), ("reducers", reducers)):
        for name in catalogue.names():
            page = text(site, f"{kind}/{name}")
            assert f"{name}.py" in page or "class" in page
            assert [one.name for one in catalogue.describe(name).parameters if one.name not in page] == []
    assert "Tiny ImageNet" in text(site, "strategies/tda")


@pytest.mark.slow
def test_the_references_have_all_settings_methods_and_paths(site: Path):
    settings = text(site, "reference/settings")
    assert [name for name in knobs(Settings) if name not in settings] == []
    assert "TTA_SERVER__TLS__CERTIFICATE" in settings and "≥ 0, ≤ 65,535" in settings.replace("&gt;", ">")
    proto = (ROOT / "protos" / "tta" / "v1" / "tta.proto").read_text()
    grpc = text(site, "reference/grpc")
    assert [
        name for name in re.findall(r"^(?:message|enum) (\w+)|  rpc (\w+)", proto, re.M) if "".join(name) not in grpc
    ] == []
    rest = text(site, "reference/rest")
    document = json.loads((ROOT / "tta_service" / "http" / "openapi.json").read_text())
    assert [path for path in document["paths"] if path not in rest] == []


@pytest.mark.slow
def test_no_page_loads_anything_from_another_server(site: Path):
    loads = re.compile(r"<(?:script|link|img|iframe|source)[^>]*(?:src|href)=\"?(?:https?:)?//[^\s>\"]+")
    pages = [*site.rglob("*.html")]
    assert len(pages) > 60
    found = [tag for page in pages for tag in loads.findall(page.read_text(encoding="utf-8"))]
    assert [tag for tag in found if 'rel="canonical"' not in tag] == []


@pytest.mark.slow
def test_every_page_of_the_documentation_can_be_reached_from_the_first(site: Path):
    first = (site / "index.html").read_text(encoding="utf-8")
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert [page for page in sorted(pages) if not re.search(rf'href="?{page}/', first)] == []


@pytest.mark.slow
def test_links_out_of_the_documentation_stay_on_the_site(site: Path):
    page = (site / "measurements" / "index.html").read_text(encoding="utf-8")
    assert "../repository/benchmarks/results/overhead/" in page
    assert (site / "repository" / "benchmarks" / "results" / "overhead" / "index.html").is_file()
    assert (site / "repository" / "protos" / "tta" / "v1" / "tta.proto").is_file()


@pytest.fixture
def diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagram", ROOT / "docs" / "site" / "diagram.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_flowchart_becomes_boxes_whose_arrows_point_down(diagram: ModuleType):
    drawn = diagram.draw("flowchart TD\n a --> b & c --> d\n a --> d\n subgraph s [inside]\n x --> y\n end\n a -.- s\n")
    heights = {name: int(y) for y, name in re.findall(r'y="(\d+)" text-anchor[^>]*>(\w+)<', drawn)}
    assert heights["a"] < heights["b"] == heights["c"] < heights["d"] and heights["x"] < heights["y"]
    assert drawn.count("<path") == 6 and drawn.count("<svg") == 2 and "<figcaption>inside" in drawn
