"""The dashboards against Grafana's own types; planted mistakes show what this check catches."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from deploy.grafana.queries import pages
from tests.deploy.grafana import newest, schema, schema_version
from tests.deploy.tools import DEPLOY

pytestmark = pytest.mark.slow
PAGES = pages()
Plant = Callable[[dict[str, Any]], object]
# mistakes: where they are found, and how they get there
OF_PAGES: dict[str, tuple[str, Plant]] = {
    "a key that went": ("$", lambda page: page.update(style="dark")),
    "a version as text": ("$.schemaVersion", lambda page: page.update(schemaVersion="42")),
    "no version": ("$", lambda page: page.pop("schemaVersion")),
    "no refresh": ("$.refresh", lambda page: page.update(refresh=False)),
    "an unknown cursor": ("$.graphTooltip", lambda page: page.update(graphTooltip=3)),
    "a time as a number": ("$.time.from", lambda page: page["time"].update({"from": 60})),
    "a tag that is none": ("$.tags[0]", lambda page: page.update(tags=[1])),
    "a link to nothing": ("$.links[0]", lambda page: page["links"][0].pop("title")),
    "a link of another kind": ("$.links[0].type", lambda page: page["links"][0].update(type="dashboard")),
    "an interval's setting": ("$.templating.list[0]", lambda page: page["templating"]["list"][0].update(auto=True)),
    "a variable without a name": ("$.templating.list[1]", lambda page: page["templating"]["list"][1].pop("name")),
    "an unknown sort": ("$.templating.list[1].sort", lambda page: page["templating"]["list"][1].update(sort=9)),
}  # fmt: skip
OF_PANELS: dict[str, tuple[str, Plant]] = {
    "an unknown kind": ("stat", lambda panel: panel.update(type="stats")),
    "another kind": ("stat", lambda panel: panel.update(type="timeseries")),
    "a misspelt key": ("stat", lambda panel: panel.update(discription="")),
    "a width as text": ("timeseries", lambda panel: panel["gridPos"].update(w="8")),
    "no place": ("timeseries", lambda panel: panel["gridPos"].pop("y")),
    "a row that folds by word": ("row", lambda panel: panel.update(collapsed="no")),
    "a row without panels": ("row", lambda panel: panel.pop("panels")),
    "a source that is no name": ("stat", lambda panel: panel["datasource"].update(uid=1)),
    "a unit that is none": ("stat", lambda panel: defaults(panel).update(unit=1)),
    "a custom key of no such kind": ("timeseries", lambda panel: defaults(panel)["custom"].update(lineWith=1)),
    "a custom value of no such kind": ("timeseries", lambda panel: defaults(panel)["custom"].update(lineWidth="1")),
    "points by another word": ("timeseries", lambda panel: defaults(panel)["custom"].update(showPoints="no")),
    "a stat that draws lines": ("stat", lambda panel: defaults(panel).update(custom={"lineWidth": 1})),
    "a step without an edge": ("stat", lambda panel: defaults(panel)["thresholds"]["steps"][0].pop("value")),
    "thresholds of no mode": ("stat", lambda panel: defaults(panel)["thresholds"].update(mode="relative")),
    "a mapping of no kind": ("stat", lambda panel: defaults(panel)["mappings"][0].update(type="words")),
    "a special of no kind": ("stat", lambda panel: defaults(panel)["mappings"][-1]["options"].update(match="nil")),
    "a legend of no mode": ("timeseries", lambda panel: panel["options"]["legend"].update(displayMode="row")),
    "no legend": ("timeseries", lambda panel: panel["options"].pop("legend")),
    "a tooltip of no mode": ("timeseries", lambda panel: panel["options"]["tooltip"].update(mode="all")),
    "a number without a reduction": ("stat", lambda panel: panel["options"].pop("reduceOptions")),
    "a colour mode of old": ("stat", lambda panel: panel["options"].update(colorMode="colour")),
    "a query without a letter": ("timeseries", lambda panel: panel["targets"][0].pop("refId")),
    "a query of two": ("timeseries", lambda panel: panel["targets"][0].update(expr=["up", "up"])),
    "a query by another key": ("timeseries", lambda panel: panel["targets"][0].update(query="up")),
}  # fmt: skip


@pytest.fixture(scope="module")
def cache_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From one run to the next, where pytest keeps anything."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    return cache.mkdir("grafana") if cache else tmp_path_factory.mktemp("grafana")


@pytest.fixture(scope="module")
def validator(cache_folder: Path) -> Draft7Validator:
    of = schema(newest(), cache_folder)
    Draft7Validator.check_schema(of)
    return Draft7Validator(of)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_dashboard_is_one_by_grafanas_own_types(validator: Draft7Validator, page: dict[str, Any]):
    worst = best_match(validator.iter_errors(page))
    assert worst is None, f"{worst.json_path}: {worst.message[:500]}"


def test_dashboards_are_of_the_schema_version_of_the_grafana_that_compose_starts(cache_folder: Path):
    newest()  # or skip
    image = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["image"]
    ours = schema_version(image.rpartition(":")[2], cache_folder)
    assert {page["schemaVersion"] for page in PAGES.values()} == {ours}


def first(page: dict[str, Any], kind: str) -> tuple[int, dict[str, Any]]:
    return next((place, panel) for place, panel in enumerate(page["panels"]) if panel["type"] == kind)


def defaults(panel: dict[str, Any]) -> dict[str, Any]:
    return panel["fieldConfig"]["defaults"]


@pytest.mark.parametrize(("place", "plant"), OF_PAGES.values(), ids=OF_PAGES)
def test_a_mistake_in_the_page_is_caught_at_its_place(validator: Draft7Validator, place: str, plant: Plant):
    page = deepcopy(PAGES["overview"])
    plant(page)
    assert [error.json_path for error in validator.iter_errors(page)] == [place]


@pytest.mark.parametrize(("kind", "plant"), OF_PANELS.values(), ids=OF_PANELS)
def test_a_mistake_in_a_panel_is_caught_at_its_place(validator: Draft7Validator, kind: str, plant: Plant):
    page = deepcopy(PAGES["overview"])
    number, panel = first(page, kind)
    plant(panel)
    assert [error.json_path for error in validator.iter_errors(page)] == [f"$.panels[{number}]"]
