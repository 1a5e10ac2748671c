"""The committed dashboards follow the rules of dashboard-linter and are those that the program makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.queries import fill_variables, pages, panels, queries
from tests.deploy.tools import DEPLOY, exported, names, program

PAGES = pages()


def all_panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{name}-{panel['title']}") for name, page in PAGES.items() for panel in panels(page)
    ]


def test_names_are_read_from_expressions():
    expression = 'sum by (le, job) (rate(tta_a_bucket{x=~"b|c"}[5m])) / on (job) group_left () job:tta_b:rate5m'
    assert names(f"{expression} or 0 * up - time()") == {"tta_a_bucket", "job:tta_b:rate5m", "up"}
    assert names("histogram_quantile(0.95, a_bucket) > bool 1e3") == {"a_bucket"}


def test_committed_dashboards_are_those_that_the_program_makes():
    command = [sys.executable, "-m", "deploy.grafana.generate", "--check"]
    done = subprocess.run(command, cwd=DEPLOY.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_there_with_their_variables():
    assert [PAGES[name]["title"] for name in ("overview", "strategies", "cameras", "machine", "teaching")] == [
        "TTA / Overview", "TTA / Strategies", "TTA / Cameras and sessions", "TTA / Machine",
        "TTA / Teaching and trust",
    ]  # fmt: skip
    assert len({page["uid"] for page in PAGES.values()}) == 5
    for page in PAGES.values():
        variables = {variable["name"]: variable for variable in page["templating"]["list"]}
        assert list(variables) == ["datasource", "job", "instance", "strategy"]
        assert variables["datasource"]["query"] == "prometheus"
        for name in ("job", "instance", "strategy"):
            assert variables[name]["datasource"]["uid"] == "${datasource}" and variables[name]["includeAll"]
        known = exported()
        for variable in list(variables.values())[1:]:
            assert any(name in variable["query"]["query"] for name in known)


def test_the_documentation_says_who_drew_its_pictures():
    page = DEPLOY.parent / "docs" / "metrics.md"
    before, *pictures = re.split(r"!\[[^]]+\]\(\.\./deploy/grafana/", page.read_text())
    assert {picture.partition(".png)")[0] for picture in pictures} == PAGES.keys() - {"teaching"}
    text = " ".join(before[-400:].split())
    assert "drawn by our own program (`deploy/grafana/picture.py`), not by Grafana:" in text


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(page: dict[str, Any]):
    numbers = [panel["id"] for panel in page["panels"]]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in page["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24


@pytest.mark.parametrize("panel", all_panels())
def test_a_panel_explains_itself(panel: dict[str, Any]):
    shown = panel["fieldConfig"]["defaults"]
    assert shown["unit"] in {"none", "s", "bytes", "percentunit", "reqps", "ops", "watt", "celsius"}
    assert panel["description"].endswith(".") and "\n" not in panel["description"] and len(panel["description"]) < 140
    assert shown["noValue"]  # where nothing comes back
    assert {m["options"].get("match") for m in shown["mappings"]} >= {"null+nan"}  # and where 0 is divided by 0
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"] and all(target["legendFormat"] for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("panel", all_panels())
def test_a_panel_asks_for_metrics_that_exist_of_the_instances_chosen(panel: dict[str, Any]):
    for target in panel["targets"]:
        asked = names(fill_variables(target["expr"], "1m"))
        assert asked and asked <= exported()
        assert target["expr"].count('job=~"$job", instance=~"$instance"') == target["expr"].count("{")
        assert "[" not in target["expr"].replace("[$__rate_interval]", "")


def test_every_expression_parses(tmp_path: Path):
    rules = [{"record": f"r{i}", "expr": query.expression} for i, query in enumerate(queries("1m"))]
    (tmp_path / "all.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", "--lint-fatal", str(tmp_path / "all.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
