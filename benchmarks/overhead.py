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
from machine import processor
from overhead_table import table

HERE = Path(__file__).resolve().parent


def main() -> int:
    args = _arguments()
    rows: list[dict[str, Any]] = []
    options = {"strategy": args.strategy, "views": args.views, "cores": args.cores}
    with service(args.max_rows, args.cores) as (address, server), start_side("alone", **options, requests=24) as alone:
        for streams in args.streams:
            row = measure_streams(address, server, streams, args)
            row["alone"] = parts = ask(alone, row["batch_rows"])  # next to it, so that both see the same machine
            row["alone_cpu"] = parts["prepare"] + parts["encode"] + parts["adapt"]
            row["share"] = row["alone_cpu"] / row["server_cpu"]
            rows.append(row)
            print("{streams} streams: {rows_per_second:.0f} rows/s, share {share:.3f}".format(**row))
    report = {
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "request": {"strategy": args.strategy, "views": args.views, "image": "448x336 JPEG, quality 90"},
        "streams": rows,
    }
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "overhead.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "overhead.md").write_text(table(report))
    print(table(report))
    return 0


def measure_streams(address: str, server: psutil.Process, streams: int, args: argparse.Namespace) -> dict[str, Any]:
    """One measurement: nothing but these requests happens between the two looks at the server's CPU time."""
    with start_side("client", address=address, streams=streams, **_request(args)) as client:
        before = _cpu_seconds(server)
        result = ask(client, "go")
        spent = _cpu_seconds(server) - before
    requests = result["requests"]
    return {
        "streams": streams,
        "requests": requests,
        "seconds": result["seconds"],
        "server_cpu": spent / requests,
        "requests_per_second": requests / result["seconds"],
        "rows_per_second": requests * args.views / result["seconds"],
        "batch_rows": result["batch_rows"],
        "milliseconds": result["milliseconds"],
    }


@contextlib.contextmanager
def service(max_rows: int, cores: int) -> Iterator[tuple[str, psutil.Process]]:
    """A service with the bundled model on a free port, with its default settings."""
    words = ["serve", "--port", "0", "--metrics-port", "0", "--no-http", "--log-level", "warning"]
    words += ["--set", f"batch.max_rows={max_rows}", "--set", f"lanes.cores={cores}"]
    process = subprocess.Popen([sys.executable, "-m", "tta_service", *words], stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in _lines(process.stdout) if line.startswith("SERVING"))
        yield line.split("grpc=")[1].split()[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def start_side(part: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """One side of the measurement in its own process, once it is warm."""
    command = [sys.executable, str(HERE / "overhead_sides.py"), part, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if "warm\n" not in iter(process.stdout.readline, ""):  # type: ignore[union-attr]
            raise SystemExit(f"{part} failed")
        yield process


def ask(process: subprocess.Popen[str], line: object) -> Any:
    """What a side answers to a line."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def _request(args: argparse.Namespace) -> dict[str, Any]:
    return {"strategy": args.strategy, "views": args.views, "requests": args.requests}


def _lines(pipe: IO[str] | None) -> Iterator[str]:
    assert pipe
    yield from pipe
    raise SystemExit("the service ended before it served")


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--strategy", default="mta")
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=48, help="for each number of streams, at least")
    parser.add_argument(
        "--max-rows", type=int, default=0, help="of a forward; 0: what the service measures at its start"
    )
    parser.add_argument("--cores", type=int, default=0, help="of the lanes; 0: all")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
