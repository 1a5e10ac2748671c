"""The documentation names every file, package, setting, strategy and metric that exists, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.deploy.tools import ENDINGS, families
from tta_service.settings import Settings
from tta_service.strategies import catalogue as strategies

ROOT = Path(__file__).parents[1]
SERVICE, CLIENT = ROOT / "tta_service", ROOT / "clients" / "python" / "tta_client"
FOLDERS = (ROOT, SERVICE, SERVICE / "serving", CLIENT.parent, CLIENT)  # that a path in the text may start from
EXAMPLES = {"shots/"}  # a reader's own files
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "clients" / "python" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs" / "plugin" / "README.md",
    *sorted((ROOT / "deploy").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
by_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def links(page: Path) -> set[str]:
    """The targets of relative links and pictures, without their anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return {target.partition("#")[0] for target in targets if ":" not in target} - {""}


def anchors(page: Path) -> set[str]:
    """What GitHub calls the page's headings in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def paths(page: Path) -> list[tuple[str, tuple[Path, ...]]]:
    """Each path in backticks, with the folders that it may start from; a row on a package may name files inside it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    found: list[tuple[str, tuple[Path, ...]]] = []
    for line in text.splitlines():
        subject = re.match(r"\| `([\w/]+)/`", line)
        folders = FOLDERS + (tuple(folder / subject[1] for folder in FOLDERS) if subject else ())
        names = re.findall(r"`([\w-][\w./-]*(?:/|/[\w-]+|\.(?:py|md|yml|yaml)))`", line)
        found += [(name, (page.parent, *folders)) for name in names if name not in EXAMPLES]
    return found


def packages(folder: Path) -> set[str]:
    """The packages and modules that lie in a folder."""
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    return modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def listed(folder: str) -> set[str]:
    """The first column of the table that architecture.md has of a folder."""
    table = ARCHITECTURE.read_text().partition(f"| in `{folder}` |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@by_page
def test_every_link_leads_to_a_file(page: Path):
    assert [target for target in sorted(links(page)) if not (page.parent / target).exists()] == []


@by_page
def test_every_link_with_an_anchor_leads_to_a_heading(page: Path):
    pairs = re.findall(r"\]\(([^):#\s]*)#([^)\s]+)\)", page.read_text())
    targets = [(page.parent / target if target else page, anchor) for target, anchor in pairs]
    assert [anchor for target, anchor in targets if anchor not in anchors(target)] == []


@by_page
def test_every_path_exists(page: Path):
    assert [name for name, folders in paths(page) if not any((folder / name).exists() for folder in folders)] == []


def test_the_readme_is_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_architecture_lists_the_packages_of_the_tree():
    assert len(paths(ARCHITECTURE)) > 30
    assert listed("tta_service/") == packages(SERVICE)
    assert listed("tta_service/serving/") == packages(SERVICE / "serving")
    assert listed("tta_client/") <= packages(CLIENT)


def test_the_picture_of_the_packages_names_all_of_them():
    picture = ARCHITECTURE.read_text().partition("```mermaid")[2].partition("```")[0]
    arrows = "\n".join(line for line in picture.splitlines() if "-->" in line)
    tree = packages(SERVICE) | packages(SERVICE / "serving")
    assert set(re.findall(r"\w+", arrows)) == {re.sub(r"/$|\.py$", "", name) for name in tree}


def knobs(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings."""
    for name, field in section.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from knobs(type(field.default), f"{prefix}{name}.")
        else:
            yield prefix + name


def test_configuration_lists_every_setting_and_no_other():
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert sorted(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)) == sorted(knobs(Settings))


def test_strategies_lists_every_strategy_and_measures_no_other():
    what, accuracy = (ROOT / "docs" / "strategies.md").read_text().split("## Accuracy")
    described, measured = (re.findall(r"^\| \[?`(\w+)`", table, re.MULTILINE) for table in (what, accuracy))
    assert sorted(described) == sorted(strategies.names()) and set(measured) <= set(described)


def test_metrics_lists_every_series_and_no_other():
    table = (ROOT / "docs" / "metrics.md").read_text().partition("| --- |")[2].partition("\n\n")[0]
    first = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    made = {
        f"{family.name}{ENDINGS[family.type][0] if family.type in ('counter', 'info') else ''}"
        for family in families()
        if family.name.startswith(("tta_", "grpc_"))
    }
    assert set(re.findall(r"`((?:tta|grpc)_\w+)`", first)) == made
