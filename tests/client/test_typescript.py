"""The TypeScript example on a copy of a fresh clone: `buf generate`, its compiler, and answers of a real server."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.rpc.conftest import jpeg, open_harness

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
AT_MOST = 300  # seconds for npm to install


async def run(folder: Path, *command: str) -> tuple[int | None, str]:
    """The exit code and the output."""
    pipe, joined = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=pipe, stderr=joined)
    async with asyncio.timeout(AT_MOST):
        output, _ = await process.communicate()
    return process.returncode, output.decode(errors="replace")


async def test_the_example_is_generated_checked_and_answered(tmp_path: Path):
    if not shutil.which("npm"):
        pytest.skip("no npm here (Debian: apt-get install npm)")
    folder = tmp_path / "clients" / "typescript"
    shutil.copytree(ROOT / "clients/typescript", folder, ignore=shutil.ignore_patterns("node_modules", "generated"))
    protos = Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))
    code, output = await run(folder, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    if code:
        pytest.skip(f"npm does not install here: {' '.join(output.split())[:200]}")
    for command in (("npm", "run", "generate"), ("npm", "run", "check")):
        code, output = await run(folder, *command)
        assert code == 0, output
    (folder / "photo.jpg").write_bytes(jpeg())
    async with open_harness() as harness:
        start = "npm", "--silent", "start", "--", "photo.jpg"
        code, output = await run(folder, *start, "cat,dog,car", f"http://127.0.0.1:{harness.port}")
        assert code == 0, output
        lines = output.splitlines()
        assert {line.split()[0] for line in lines[:3]} == {"cat", "dog", "car"}
        assert [line.partition(":")[0] for line in lines[3:]] == ["frame 1", "frame 2", "frame 3"]
        code, output = await run(folder, *start, "cat,cat", f"http://127.0.0.1:{harness.port}")
        assert code == 1 and "labels.label_set.names[1]" in output
    code, output = await run(protos, str(folder / "node_modules/.bin/buf"), "lint")
    assert code == 0, output
