"""What the service costs beside the work itself.

For 1, 4 and 16 concurrent streams of 64-view requests: the CPU seconds that decode, look, encode and adapt need when
the same functions are called directly (same thread settings, same rows in a forward), divided by the CPU seconds of
the whole server process; rows a second beside the raw `encode_image`; milliseconds in each stage. The service, its
client and the direct calls each have a process of their own.

    python benchmarks/overhead.py [--strategy mta] [--views 64] [--streams 1,4,16] [--requests 48]

Writes benchmarks/results/overhead.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil
from overhead_table import table

HERE = Path(__file__).resolve().parent


def main() -> int:
    wish = _arguments()
    rows: list[dict[str, Any]] = []
    with service() as (address, server):
        for streams in wish.streams:
            rows.append(against(address, server, streams, wish))
            print(
                "{streams} streams: {rows_per_second:.0f} rows/s, {server_cpu:.3f} CPU s a request".format(**rows[-1])
            )
    forwards = sorted({row["batch_rows"] for row in rows})
    alone = side("alone", strategy=wish.strategy, views=wish.views, forwards=forwards, requests=min(24, wish.requests))
    for row in rows:
        direct = alone["forwards"][str(row["batch_rows"])]
        row["alone_cpu"] = alone["prepare_cpu"] + direct["cpu"] + alone["adapt_cpu"]
        row["share"] = row["alone_cpu"] / row["server_cpu"]
        row["raw_rows_per_second"] = direct["rows_per_second"]
    report = {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "request": {"strategy": wish.strategy, "views": wish.views, "image": "448x336 JPEG, quality 90"},
        "alone": alone,
        "streams": rows,
    }
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "overhead.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "overhead.md").write_text(table(report))
    print(table(report))
    return 0


def against(address: str, server: psutil.Process, streams: int, wish: argparse.Namespace) -> dict[str, Any]:
    """One measurement: nothing but these requests happens between the two looks at the server's CPU time."""
    with running("client", address=address, streams=streams, **_request(wish)) as client:
        assert client.stdin and client.stdout and client.stdout.readline() == "warm\n"
        before = _cpu_seconds(server)
        client.stdin.write("go\n")
        client.stdin.flush()
        told = json.loads(client.stdout.readline())
        spent = _cpu_seconds(server) - before
    requests = told["requests"]
    return {
        "streams": streams,
        "requests": requests,
        "seconds": told["seconds"],
        "server_cpu": spent / requests,
        "requests_per_second": requests / told["seconds"],
        "rows_per_second": requests * wish.views / told["seconds"],
        "batch_rows": told["batch_rows"],
        "milliseconds": told["milliseconds"],
    }


@contextlib.contextmanager
def service() -> Iterator[tuple[str, psutil.Process]]:
    """A service with the bundled model on a free port, as anybody would start it."""
    words = ["serve", "--port", "0", "--metrics-port", "0", "--log-level", "warning"]
    process = subprocess.Popen([sys.executable, "-m", "tta_service", *words], stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in _lines(process.stdout) if line.startswith("SERVING"))
        yield line.split("grpc=")[1].split()[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def running(part: str, **asked: Any) -> Iterator[subprocess.Popen[str]]:
    """One side of the measurement, in its own process."""
    command = [sys.executable, str(HERE / "overhead_sides.py"), part, json.dumps(asked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
    if process.returncode:
        raise SystemExit(f"{part} failed")


def side(part: str, **asked: Any) -> Any:
    with running(part, **asked) as process:
        assert process.stdout
        return json.loads(process.stdout.read())


def _request(wish: argparse.Namespace) -> dict[str, Any]:
    return {"strategy": wish.strategy, "views": wish.views, "requests": wish.requests}


def _lines(pipe: IO[str] | None) -> Iterator[str]:
    assert pipe
    yield from pipe
    raise SystemExit("the service ended before it served")


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--strategy", default="mta")
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=48, help="for each number of streams, at least")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
