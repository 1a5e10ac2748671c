"""Real services with the pocket model: one in this process, one in a process that may be killed."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUICK = {"server.port": 0, "metrics.enabled": False, "batch.max_rows": 16, "lanes.cores": 1}


@contextmanager
def run_service(**knobs: Any) -> Iterator[str]:
    """Runs a service in a thread with its own loop; yields its address. `knobs` are settings with `__` for the dot."""
    from tta_service.app import Application
    from tta_service.settings import load

    settings = load(QUICK | {name.replace("__", "."): value for name, value in knobs.items()})
    ready, started = threading.Event(), {}

    async def run() -> None:
        async with Application(settings) as service:
            started.update(loop=asyncio.get_running_loop(), service=service)
            ready.set()
            await service.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(300), "the service did not start"
    try:
        yield started["service"].address
    finally:
        started["loop"].call_soon_threadsafe(started["service"].stop)
        thread.join(300)
        assert not thread.is_alive()


@contextmanager
def start_process(**knobs: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs a service in a process, which is killed at the end of the block; yields the process and its address."""
    settings = QUICK | {name.replace("__", "."): value for name, value in knobs.items()}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "tta_service", "serve", *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout
            found = re.match(r"SERVING grpc=(\S+) ", server.stdout.readline())
            assert found, "the service did not start"
            yield server, found[1]
        finally:
            server.kill()
