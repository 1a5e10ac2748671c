"""Grafana's own definitions of dashboards, from npm: its types as JSON Schema, and the schema version of a release."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "@grafana/schema"
GENERATOR = "ts-json-schema-generator@2"
TYPES = Path(__file__).with_name("dashboard.ts")
COMPILER = {"module": "esnext", "moduleResolution": "bundler", "target": "es2022", "strict": True, "types": []}
AT_MOST = 300  # seconds for npm to install


def newest() -> str:
    """The newest version of Grafana's types. Skips the test where npm is missing or reaches no registry."""
    if not shutil.which("npm"):
        pytest.skip("no npm here (Debian: apt-get install npm)")
    command = ["npm", "view", "--fetch-retries=1", PACKAGE, "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST)
    if done.returncode:
        pytest.skip(f"npm does not reach its registry: {' '.join(done.stderr.split())[:200]}")
    return done.stdout.strip()


def schema(version: str, cache: Path) -> dict[str, Any]:
    """The types of dashboard.ts, of one version of Grafana, as a JSON Schema. Made once, then read from `cache`."""
    generate = [
        "npx",
        "ts-json-schema-generator",
        "--path",
        TYPES.name,
        "--type",
        "Page",
        "--tsconfig",
        "tsconfig.json",
    ]
    # all in one definition: Grafana has several types of one name
    return json.loads(_run_cached([*generate, "--expose", "none"], [f"{PACKAGE}@{version}", GENERATOR], cache))


def schema_version(version: str, cache: Path) -> int:
    """The schema version of the dashboards that this Grafana writes. Asked once, then read from `cache`."""
    ask = ["node", "-p", f"require('{PACKAGE}').defaultDashboard.schemaVersion"]
    return int(_run_cached(ask, [f"{PACKAGE}@{version}"], cache))


def _run_cached(command: Sequence[str], packages: Sequence[str], cache: Path) -> str:
    """The output of a command in a folder with these npm packages and our types; read from `cache` when it is there."""
    key = hashlib.sha256(json.dumps([*command, *packages, TYPES.read_text(), COMPILER]).encode()).hexdigest()[:16]
    answer = cache / key
    if not answer.is_file():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copy(TYPES, folder)
            (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER}))
            (folder / "package.json").write_text("{}")
            _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *packages], folder)
            text = _run(command, folder)
        answer.with_suffix(".part").write_text(text)
        answer.with_suffix(".part").replace(answer)
    return answer.read_text()


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=AT_MOST)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
