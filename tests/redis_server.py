"""Real redis-servers for tests, which keep nothing on disk: one, or a master and its replica with a sentinel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import until

Process = subprocess.Popen[str]
QUIET = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/")


@contextmanager
def redis_server() -> Iterator[str]:
    """Its URL. Skips the test where Debian's package or the client is not installed."""
    program = _find("redis-server", "valkey-server")
    port = _free_port()
    with _started(program, *QUIET, "--port", str(port)):
        yield f"redis://127.0.0.1:{port}/0"


class WatchedRedis:
    """A master that has a replica, and the URL by which a sentinel names whichever of them is the master."""

    def __init__(self, master: Process, replica: Any, url: str) -> None:
        self.master, self._replica, self.url = master, replica, url

    def until_replicated(self) -> None:
        """Returns when the replica has all that the master had at the call."""
        with _client(self._replica.info("replication")["master_port"]) as master:
            written = master.info("replication")["master_repl_offset"]
        until(lambda: self._replica.info("replication")["slave_repl_offset"] >= written)


@contextmanager
def watched_redis(folder: Path) -> Iterator[WatchedRedis]:
    """The sentinel is one of two in the URL; the other one does not answer. Skips as `redis_server`."""
    server, sentinel = _find("redis-server", "valkey-server"), _find("redis-sentinel", "valkey-sentinel")
    with ExitStack() as stack:
        first, second, third = _free_port(), _free_port(), _free_port()
        master = stack.enter_context(_started(server, *QUIET, "--port", str(first)))
        more = ("--port", str(second), "--replicaof", "127.0.0.1", str(first))
        stack.enter_context(_started(server, *QUIET, *more))
        replica = stack.enter_context(_client(second))
        until(lambda: replica.info("replication")["master_link_status"] == "up")
        configuration = folder / "sentinel.conf"
        orders = ("monitor cameras 127.0.0.1 {} 1", "down-after-milliseconds cameras 3000")
        lines = [
            f"port {third}",
            "bind 127.0.0.1",
            f"dir {folder}",
            *(f"sentinel {one.format(first)}" for one in orders),
        ]
        configuration.write_text("\n".join(lines) + "\n")
        stack.enter_context(_started(sentinel, str(configuration), ready="+monitor master"))
        asked = stack.enter_context(_client(third))
        until(lambda: asked.sentinel_slaves("cameras"))
        yield WatchedRedis(master, replica, f"redis+sentinel://127.0.0.1:{_free_port()},127.0.0.1:{third}/cameras/0")


def _find(*names: str) -> str:
    """The first of these programs. Skips the test where none is installed."""
    pytest.importorskip("redis", reason="redis is not installed")
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no {names[0]} here (Debian: apt-get install {names[0]})")


def _client(port: int) -> Any:
    import redis

    return redis.Redis(port=port, decode_responses=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def _started(program: str, *arguments: str, ready: str = "Ready to accept connections") -> Iterator[Process]:
    everywhere = os.environ | {"LC_ALL": "C"}  # it does not start in a locale that is not installed
    command = [program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=everywhere) as process:
        try:
            assert process.stdout
            while ready not in (line := process.stdout.readline()):
                assert line, f"{program} did not start"
            yield process
        finally:
            process.kill()
