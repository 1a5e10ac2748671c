"""An open-loop load of cameras: how old are the answers, what is dropped, what does the server need?

N cameras, their frames at a fixed rate whatever the service does, real JPEGs, any mixture of strategies and sizes.
First a full batch and the requests are measured alone, and the service's capacity with cameras that wait; the load is
a multiple of that. Then the loop that one writes first gets the same load for a shorter time.

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
from load_runs import Camera, alone, camera, capacity, full_batch, kinds, loaded
from load_servers import NAIVE, SERVING, Server, started

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    wish = _arguments()
    cameras = [_camera(wish, number) for number in range(wish.cameras)]
    asked = ("cameras", "overload", "policy", "seconds")
    report: dict[str, Any] = {"wish": {name: getattr(wish, name) for name in asked}}
    report["machine"] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    given = contextlib.nullcontext(Server(wish.address, wish.metrics))
    serving = [*SERVING, "--set", f"batch.max_rows={wish.max_rows}"]
    with given if wish.address else started(serving) as server:
        batch = full_batch(server, wish.source)
        single = {name: alone(server, one, wish.source) for name, one in kinds(cameras).items()}
        most = capacity(server, cameras, wish.source)
        fps = wish.fps or wish.overload * most / len(cameras)
        for one in cameras:
            one["fps"] = fps
        told = loaded(server, cameras, wish.seconds, "the service", wish.source, int(batch["rows"]))
    for name, one in kinds(cameras).items():
        told["kinds"][name]["bound"] = bound(one["fps"], single[name], batch["seconds"])
    report |= {"batch": batch, "alone": single, "capacity": most, "fps": fps, "service": told}
    if wish.naive:
        queueing = [one | {"every": True} for one in cameras]
        with started(NAIVE) as server:
            report["naive"] = loaded(server, queueing, wish.naive, "the naive loop", wish.source)
    report["machine"]["load_after"] = os.getloadavg()[0]
    print(save(report, RESULTS / wish.name))
    return 0


def _camera(wish: argparse.Namespace, number: int) -> Camera:
    """Strategies and sizes in turn."""
    strategy, parameters = wish.strategies[number % len(wish.strategies)]
    size = wish.sizes[number // len(wish.strategies) % len(wish.sizes)]
    return camera(strategy, parameters, size) | {"policy": wish.policy}


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
