"""A real Prometheus for one test: it scrapes one address twice a second and knows our rules."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import RULES, program
from tests.patience import PATIENCE

BETWEEN = 0.25  # seconds between two questions


def free_ports(count: int) -> list[int]:
    """Different ports: each stays open until the last one is found."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


def free_port() -> int:
    return free_ports(1)[0]


class Prometheus:
    """Questions to a running one."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, expression: str) -> list[float]:
        """The numbers that an expression has now; those that are not numbers are left out."""
        response = await self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        values = (float(series["value"][1]) for series in response["data"]["result"])
        return [value for value in values if not math.isnan(value)]

    async def until(self, expression: str) -> None:
        """Returns once it has data; the caller sets the time limit."""
        while not await self.ask(expression):  # noqa: ASYNC110 - only Prometheus knows
            await asyncio.sleep(BETWEEN)

    async def _get(self, path: str) -> Any:
        def read() -> Any:
            with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as reply:
                return json.load(reply)

        return await asyncio.to_thread(read)


@asynccontextmanager
async def prometheus(target: str, folder: Path, access: dict[str, Any] | None = None) -> AsyncIterator[Prometheus]:
    """Scrapes `target` (host:port, which need not answer yet) until the block ends; keeps its data in `folder`.

    `access` is what else a job of Prometheus needs: scheme, tls_config, authorization.
    """
    configuration = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "any name", **(access or {}), "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        asked = Prometheus(f"http://127.0.0.1:{port}")
        await _ready(asked, process)
        yield asked
    finally:
        process.kill()
        await process.wait()


async def _ready(asked: Prometheus, process: asyncio.subprocess.Process) -> None:
    while True:
        assert process.returncode is None, "prometheus did not start"
        try:
            return await asked.ask("up")
        except OSError:  # it does not listen yet, or does not answer
            await asyncio.sleep(BETWEEN)
