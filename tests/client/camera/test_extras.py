"""What a camera without a package is told can be typed as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize("extras", ["edge", "camera,edge,mqtt,modbus"])
def test_there_are_wheels_for_arm(extras: str) -> None:
    """For boards with Linux and no compiler."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("no uv here")
    command = [uv, "pip", "compile", "--python-platform", "aarch64-manylinux_2_28", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--extra", *extras.replace(",", " --extra ").split()]
    done = subprocess.run([*command, str(ROOT / "clients/python/pyproject.toml")], capture_output=True, text=True)
    assert "platform" not in done.stderr  # "no wheels with a matching platform tag"
    if done.returncode:
        pytest.skip(f"the package index is not to be had: {done.stderr.strip()[-200:]}")
    assert {"onnxruntime", "numpy", "grpcio"} <= {line.partition("==")[0] for line in done.stdout.splitlines()}
