"""What a forward costs on one thread and on all, on free cores and beside a process that keeps one core busy.

    python benchmarks/threads.py [--rows 8] [--seconds 2] [--out benchmarks/results/threads.json]

Threads of OpenMP wait for one another at the end of each operation. By default they spin; with OMP_WAIT_POLICY=PASSIVE
they sleep; with GOMP_SPINCOUNT they spin for so many turns first, as `tta-service serve` has them do. Where another
process has one of the cores, a thread that has lost it is waited for by all others, an operation at a time. Each line
is a process of its own: milliseconds of a forward (median and longest) and the CPU milliseconds that it takes, of the
pocket model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.machine import load_average, processor
from tta_service.cli.service import SPINS
from tta_service.clip.load import load

BUSY = "while True: pass"
WAITING = {"spinning": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}, f"{SPINS} turns": {"GOMP_SPINCOUNT": SPINS}}


def time_forwards(precision: str, threads: int, rows: int, seconds: float) -> dict[str, float]:
    torch.set_num_threads(threads)
    clip, times = load(precision=precision), []
    views = torch.zeros(rows, 3, clip.image_size, clip.image_size, dtype=torch.uint8)
    clip.encode_image(views)
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        at = time.perf_counter()
        clip.encode_image(views)
        times.append(1e3 * (time.perf_counter() - at))
    cpu = 1e3 * (time.process_time() - used) / len(times)
    return {
        "median_ms": round(statistics.median(times), 1),
        "longest_ms": round(max(times), 1),
        "cpu_ms": round(cpu, 1),
    }


def measure(precision: str, threads: int, waiting: str, busy: bool, args: argparse.Namespace) -> dict[str, object]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    environment |= WAITING[waiting]
    worker = [sys.executable, __file__, "--worker", precision, str(threads)]
    worker += ["--rows", str(args.rows), "--seconds", str(args.seconds)]
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        found = subprocess.run(worker, env=environment, check=True, capture_output=True, text=True).stdout
    finally:
        if neighbour:
            neighbour.kill()
            neighbour.wait()
    row: dict[str, object] = {"precision": precision, "threads": threads, "waiting": waiting}
    return row | {"cores": "one busy" if busy else "free", **json.loads(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--precisions", nargs="+", default=["float32", "int8"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "threads.json")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(time_forwards(args.worker[0], int(args.worker[1]), args.rows, args.seconds)))
        return
    about = {"cpu": processor(), "cores": os.cpu_count(), "load": load_average(), "rows_of_a_forward": args.rows}
    rows = []
    for precision in args.precisions:
        for threads, waiting in ((1, "spinning"), *((os.cpu_count() or 1, one) for one in WAITING)):
            for busy in (False, True):
                rows.append(measure(precision, threads, waiting, busy, args))
                print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
