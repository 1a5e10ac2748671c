"""What is put under load: a service of our own, the naive loop, or one that runs already; and its metrics."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).resolve().parent
SERVING = ["-m", "tta_service", "serve", "--port", "0", "--metrics-port", "0", "--no-http", "--log-level", "warning"]
NAIVE = [str(HERE / "load_naive.py")]


@dataclass(frozen=True, slots=True)
class Server:
    """Where it answers. `metrics` is a URL; it, `http` and `pid` are empty where they are not known."""

    address: str
    metrics: str
    http: str = ""
    pid: int = 0


@contextlib.contextmanager
def start_server(command: list[str]) -> Iterator[Server]:
    """A process that prints `SERVING grpc=… metrics=…` once it serves."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = next((line for line in process.stdout if line.startswith("SERVING")), "")
            if not line:
                raise SystemExit("the server ended before it served")
            addresses = dict(word.split("=", 1) for word in line.split()[1:])
            http = addresses.get("http", "off").partition("://")[2].strip("/")
            yield Server(addresses["grpc"], addresses["metrics"], http, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass(frozen=True, slots=True)
class Look:
    """A server at one moment, from its metrics."""

    at: float  # monotonic seconds
    cpu: float = math.nan  # seconds so far
    rss: float = math.nan  # bytes
    fds: float = math.nan
    waiting: float = math.nan  # frames' bytes in the buffers of streams
    inside: float = math.nan  # rows in flight
    drops: dict[str, float] = field(default_factory=dict[str, float])  # frames by reason, so far


def look(metrics: str) -> Look:
    """One look at the metrics; without a URL only the time is known."""
    if not metrics:
        return Look(time.monotonic())
    with urllib.request.urlopen(metrics, timeout=30) as reply:
        text = reply.read().decode()
    single = {
        "process_cpu_seconds_total": "cpu",
        "process_resident_memory_bytes": "rss",
        "process_open_fds": "fds",
        "tta_inflight_rows": "inside",
    }
    found: dict[str, float] = {}
    drops: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in single:
                found[single[sample.name]] = sample.value
            elif sample.name == "tta_queue_bytes" and sample.labels["queue"] == "streams":
                found["waiting"] = sample.value
            elif sample.name == "tta_frames_dropped_total":
                reason = sample.labels["reason"]
                drops[reason] = drops.get(reason, 0) + sample.value
    return Look(time.monotonic(), **found, drops=drops)


@contextlib.contextmanager
def watch_server(metrics: str, every: float = 2.0) -> Iterator[list[Look]]:
    """Looks at the server now and then, from a thread; the last one at the end of the block."""
    looks, over = [look(metrics)], threading.Event()

    def watch() -> None:
        while not over.wait(every):
            looks.append(look(metrics))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
        looks.append(look(metrics))
