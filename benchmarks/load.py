"""An open-loop load of cameras: how old are the answers, what is dropped, what does the server need?

N cameras, their frames at a fixed rate whatever the service does, real JPEGs, any mixture of strategies and sizes.
First a full batch and the requests are measured alone, and the service's capacity with cameras that wait; the load is
a multiple of that. Then a simple loop without batching or limits (load_naive.py) gets the same load for a shorter time.

    python benchmarks/load.py [--cameras 16] [--overload 4 | --fps 10] [--seconds 300] [--naive 60]
        [--strategies zero_shot,tda,mta:views=16,zero:views=64] [--sizes 448x336,640x480]
        [--source FOLDER_OR_VIDEO] [--policy latest] [--address HOST:PORT --metrics URL] [--name load]

Without --address it starts a service of its own. Writes benchmarks/results/NAME.json, .md and .png.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from load_numbers import bound
from load_report import save
from load_runs import Camera, alone, camera, capacity, full_batch, kinds, measure_load
from load_servers import NAIVE, SERVING, Server, start_server
from machine import load_average, processor

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    args = _arguments()
    cameras = [_camera(args, number) for number in range(args.cameras)]
    options = ("cameras", "overload", "policy", "seconds")
    report: dict[str, Any] = {"arguments": {name: getattr(args, name) for name in options}}
    report["machine"] = {"cpu": processor(), "cores": os.cpu_count(), "load_before": load_average()}
    server_of_caller = contextlib.nullcontext(Server(args.address, args.metrics))
    command = [*SERVING, "--set", f"batch.max_rows={args.max_rows}"]
    with server_of_caller if args.address else start_server(command) as server:
        batch = full_batch(server, args.source)
        single = {name: alone(server, one, args.source) for name, one in kinds(cameras).items()}
        most = capacity(server, cameras, args.source)
        fps = args.fps or args.overload * most / len(cameras)
        for one in cameras:
            one["fps"] = fps
        result = measure_load(server, cameras, args.seconds, "the service", args.source, int(batch["rows"]))
    for name, one in kinds(cameras).items():
        result["kinds"][name]["bound"] = bound(one["fps"], single[name], batch["seconds"])
    report |= {"batch": batch, "alone": single, "capacity": most, "fps": fps, "service": result}
    if args.naive:
        queueing = [one | {"every": True} for one in cameras]
        with start_server(NAIVE) as server:
            report["naive"] = measure_load(server, queueing, args.naive, "the naive loop", args.source)
    report["machine"]["load_after"] = load_average()
    print(save(report, RESULTS / args.name))
    return 0


def _camera(args: argparse.Namespace, number: int) -> Camera:
    """Strategies and sizes in turn."""
    strategy, parameters = args.strategies[number % len(args.strategies)]
    size = args.sizes[number // len(args.strategies) % len(args.sizes)]
    return camera(strategy, parameters, size) | {"policy": args.policy}


def _strategies(text: str) -> list[tuple[str, dict[str, float]]]:
    """From `zero_shot,mta:views=16:keep=0.5`."""
    chosen: list[tuple[str, dict[str, float]]] = []
    for word in text.split(","):
        name, *parameters = word.split(":")
        chosen.append((name, {key: float(value) for key, value in (one.split("=") for one in parameters)}))
    return chosen


def _sizes(text: str) -> list[tuple[int, int]]:
    return [(int(width), int(height)) for width, height in (word.split("x") for word in text.split(","))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--overload", type=float, default=4.0, help="times what the service can answer")
    parser.add_argument("--fps", type=float, default=0.0, help="of each camera, whatever the service can answer")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--naive", type=int, default=30, help="seconds of the naive loop; 0: none")
    mixture = "zero_shot,tda,mta:views=16,zero:views=64"
    parser.add_argument("--strategies", type=_strategies, default=_strategies(mixture), help=mixture)
    parser.add_argument("--sizes", type=_sizes, default=[(448, 336), (640, 480)])
    parser.add_argument("--policy", choices=("latest", "block"), default="latest")
    parser.add_argument("--source", default="", help="pictures or a video; none: scenes of the virtual camera")
    parser.add_argument("--max-rows", type=int, default=0, help="of a forward; 0: what the service measures")
    parser.add_argument("--address", default="")
    parser.add_argument("--metrics", default="")
    parser.add_argument("--name", default="load")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
