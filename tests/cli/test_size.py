"""`tta-service size`: mistakes name their option; a real measurement becomes a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--strategy", "nothing"], "--strategy: "),
        (["--strategy", "zero_shot", "--views", "4"], "--views: "),
        (["--strategy", "zero", "--param", "keep=7"], "--param: "),
        (["--strategy", "zero", "--param", "keep"], "--param: "),
        (["--reducer", "nothing"], "--reducer: "),
        (["--edge", "--reducer", "tome"], "--reducer: features made on the device"),
        (["--picture", "missing.jpg"], "--picture: cannot read missing.jpg"),
    ],
)
def test_mistakes_name_their_option(run: Run, arguments: list[str], line: str):
    code, out, error = run("size", *arguments)
    assert (code, out) == (2, "") and error.startswith(f"tta-service: {line}"), error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "why"), [(b"no picture", "is neither a JPEG"), (b"", "is empty"), (bytes(9 << 20), "has 9437184 bytes")]
)
def test_a_file_that_is_no_picture_is_refused_as_the_service_does(run: Run, tmp_path: Path, content: bytes, why: str):
    (tmp_path / "frame.jpg").write_bytes(content)
    code, out, error = run("size", "--picture", str(tmp_path / "frame.jpg"), "--seconds", "0.1")
    assert (code, out) == (2, "") and error.startswith("tta-service: --picture: the image ") and why in error, error


@pytest.mark.slow
def test_what_is_measured_becomes_a_plan(run: Run):
    given = ["--cameras", "500", "--strategy", "zero", "--views", "2", "--seconds", "0.3", "--age", "60"]
    code, out, _ = run("size", *given, "--set", "lanes.cores=1", "--json")
    found = json.loads(out)
    rates, plan = found["rates"], found["plan"]
    assert code == 0 and rates["work"] > 0 and plan["received"] == 500 * rates["request_bytes"]
    assert plan["servers"] - 1 >= 500 * rates["work"] / 0.8 and plan["cores"] == 1
    assert set(plan["ages"]) == {"usually", "while a server fails", "during a rolling update"}
    assert found["less"]["--edge"]["rates"]["request_bytes"] < rates["request_bytes"]
    assert all(one["rates"]["work"] < rates["work"] for one in found["less"].values())
