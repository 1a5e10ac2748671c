"""A service of one's own: a child process on free ports."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

STOPPING = 30.0  # seconds from SIGTERM to the end


class DemoFailed(Exception):
    """Something that the demo promises did not happen."""


@dataclass(frozen=True, slots=True)
class Addresses:
    grpc: str  # host:port
    metrics: str  # URL


@contextmanager
def service(flags: Sequence[str] = ()) -> Iterator[Addresses]:
    """Starts `tta-service serve`, waits for its line, and stops it with SIGTERM. Raises `DemoFailed`."""
    command = [
        sys.executable,
        "-m",
        "tta_service",
        "serve",
        "--port=0",
        "--metrics-port=0",
        "--log-level=warning",
        *flags,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _addresses(process)
        except BaseException:
            process.terminate()
            raise
        process.terminate()
        try:
            code = process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            process.kill()
            raise DemoFailed(f"the service did not stop within {STOPPING:g} s of SIGTERM") from None
        if code:
            raise DemoFailed(f"the service ended with exit code {code}")


def _addresses(process: subprocess.Popen[str]) -> Addresses:
    assert process.stdout
    line = process.stdout.readline()  # empty when it ended instead
    found = re.match(r"SERVING grpc=(\S+) metrics=(\S+)", line)
    if not found:
        raise DemoFailed(f"the service did not start{f': {line.strip()}' if line else ''}")
    return Addresses(*found.groups())
