"""The Helm chart rendered without Helm: gotpl runs Go's templates with Helm's functions in Python."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.deploy.tools import DEPLOY

CHART = DEPLOY / "helm" / "tta-service"


class Files:
    """`.Files` of a template."""

    def Get(self, name: str) -> str:
        return (CHART / name).read_text()


def values(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's values with `chosen` ones over them."""
    return _merge(yaml.safe_load((CHART / "values.yaml").read_text()), chosen)


def render_templates(chosen: Mapping[str, Any], release: str = "blue", namespace: str = "cameras") -> dict[str, str]:
    """The text of each template by its file's name."""
    gotpl = pytest.importorskip("gotpl.exts.helm", reason="gotpl is not installed")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    known = {
        "Values": values(chosen),
        "Release": {"Name": release, "Namespace": namespace, "Service": "Helm", "IsInstall": True},
        "Chart": {key[0].upper() + key[1:]: value for key, value in chart.items()},
        "Files": Files(),
    }
    sources = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}
    engine = gotpl.HelmTemplateEngine.from_sources(sources)
    return engine.render({name: deepcopy(known) | {"Files": Files()} for name in sources if not name.startswith("_")})


def manifests(chosen: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """What would be applied, by kind and name."""
    texts = (text for name, text in render_templates(chosen).items() if name.endswith(".yaml"))
    found = [one for text in texts for one in yaml.safe_load_all(text) if one]
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found)
    return named


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merge(below[name], above[name]) for name in below.keys() & above.keys() if isinstance(below[name], dict)
    }
    return {**below, **above, **both}
