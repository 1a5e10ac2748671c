"""The queries of the committed dashboards, with the variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
EVERYTHING = {"$job": ".*", "$instance": ".*", "$strategy": ".*"}


@dataclass(frozen=True)
class Query:
    """One line of a panel."""

    page: str
    panel: str
    legend: str
    expression: str


def pages() -> dict[str, dict[str, Any]]:
    """Every dashboard by file name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the headings of its rows."""
    return [panel for panel in page["panels"] if panel["type"] != "row"]


def fill_variables(expression: str, window: str) -> str:
    """The query that Grafana sends with "All" selected everywhere; `window` is its rate interval."""
    for variable, value in EVERYTHING.items():
        expression = expression.replace(variable, value)
    return expression.replace("$__rate_interval", window)


def queries(window: str) -> Iterator[Query]:
    """Every query of every panel."""
    for name, page in pages().items():
        for panel in panels(page):
            for target in panel["targets"]:
                yield Query(name, panel["title"], target["legendFormat"], fill_variables(target["expr"], window))
