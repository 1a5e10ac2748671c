"""What a camera without a package is told can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from tta_client.camera.extras import import_package

ROOT = Path(__file__).parents[3]
SOURCES = (*(ROOT / "clients/python/tta_client/camera").rglob("*.py"), *(ROOT / "tta_service").rglob("*.py"))
COMMANDS = re.compile(r"pip install ('\.[^'{]*\[[\w,]+\]')")


def find_unknown(command: str) -> set[str]:
    """The extras of a `pip install` that the folder's package does not have."""
    ((folder, _, names),) = (word.partition("[") for word in shlex.split(command))
    known = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return set(names.rstrip("]").split(",")) - set(known)


def test_what_the_sources_name_is_there() -> None:
    found = {one for file in SOURCES for one in COMMANDS.findall(file.read_text())}
    assert len(found) > 3 and not any(map(find_unknown, found))


@pytest.mark.parametrize("extra", ["camera", "edge", "mqtt", "modbus", "virtual"])
def test_a_package_that_is_missing_is_named_with_its_extra(extra: str) -> None:
    with pytest.raises(OSError, match=r"^a sink needs Thing: pip install .* in a checkout") as told:
        import_package("no_such_package", "Thing", "a sink", extra)
    assert not find_unknown(str(told.value).partition("pip install ")[2].partition(" in ")[0])
