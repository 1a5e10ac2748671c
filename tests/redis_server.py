"""A real redis-server for tests, which keeps nothing on disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def redis_server() -> Iterator[str]:
    """Its URL. Skips the test where Debian's package or the client is not installed."""
    pytest.importorskip("redis", reason="redis is not installed")
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server here (Debian: apt-get install redis-server)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", "/"]
    everywhere = os.environ | {"LC_ALL": "C"}  # it does not start in a locale that is not installed
    with subprocess.Popen([program, *quiet], stdout=subprocess.PIPE, text=True, env=everywhere) as process:
        try:
            assert process.stdout
            while "Ready to accept connections" not in (line := process.stdout.readline()):
                assert line, "redis-server did not start"
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
