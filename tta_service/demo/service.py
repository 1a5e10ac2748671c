"""The demo's service: a child process on free ports."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

OPEN = (  # it answers this machine only, and asks nobody, whatever other settings there are
    "--host=127.0.0.1",
    "--metrics-host=127.0.0.1",
    *(f"--set={name}=" for name in ("server.keys", "server.owner_header", "metrics.token")),
    *(f"--set=server.tls.{name}=" for name in ("certificate", "key", "client_ca")),
)
STOP_SECONDS = 30.0  # from SIGTERM to the end


class DemoFailed(Exception):
    """The service did not start or stop, or frames failed."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the service answers."""

    grpc: str  # host:port
    metrics: str  # URL


@contextmanager
def start_service(flags: Sequence[str] = ()) -> Iterator[Addresses]:
    """A context with a running `tta-service serve`; its end stops the service with SIGTERM. Raises `DemoFailed`."""
    command = [
        sys.executable,
        "-m",
        "tta_service",
        "serve",
        "--port=0",
        "--metrics-port=0",
        "--no-http",
        "--log-level=warning",
        *OPEN,
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
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise DemoFailed(f"the service did not stop within {STOP_SECONDS:g} s of SIGTERM") from None
        if code:
            raise DemoFailed(f"the service ended with exit code {code}")


def _addresses(process: subprocess.Popen[str]) -> Addresses:
    assert process.stdout
    line = process.stdout.readline()  # empty when the process ended
    found = re.match(r"SERVING grpc=(\S+) metrics=(\S+)", line)
    if not found:
        raise DemoFailed(f"the service did not start{f': {line.strip()}' if line else ''}")
    return Addresses(*found.groups())
