"""The lines with curl in the documentation, as they are printed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.http.conftest import open_transports
from tests.rpc.conftest import jpeg

ROOT = Path(__file__).parents[2]
PAGES = "README.md", "docs/index.md", "docs/http.md", "docs/oip.md"
LINES = [line for name in PAGES for line in re.findall(r"^(?:\(.*\n)?curl .*$", (ROOT / name).read_text(), re.M)]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
async def test_a_line_is_answered(line: str, tmp_path: Path):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    async with open_transports() as both:
        command = line.replace("http://localhost:8080", f"http://127.0.0.1:{both.port}")
        assert command != line
        process = await asyncio.create_subprocess_shell(
            command + " -s", cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    reply = json.loads(out)
    assert reply.get("top") or reply.get("embeddings") or reply.get("outputs"), (reply, err)


def test_there_are_lines():
    assert len(LINES) >= 5
