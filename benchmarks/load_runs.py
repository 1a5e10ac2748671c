"""One measurement after the other: a server, cameras in a process of their own, and what both of them report."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from load_numbers import (
    CAMERA,
    ENCODE,
    ROWS,
    ages,
    cpu,
    drops,
    ends,
    forward,
    medians,
    memory,
    stages,
    together,
    windows,
)
from load_servers import Server, watch_server
from tqdm import tqdm

CAMERAS = Path(__file__).resolve().parent / "load_cameras.py"
SHORT = 4  # seconds of what is measured alone
LOOP = 10  # seconds of cameras that wait
Camera = dict[str, Any]


def camera(strategy: str, parameters: dict[str, float], size: tuple[int, int]) -> Camera:
    """One that waits for each of its answers."""
    options = {"strategy": strategy, "parameters": parameters, "size": size, "policy": "block"}
    return {**options, "fps": 0.0, "every": False, "width": 1}


def kind(one: Camera) -> str:
    """What cameras have in common whose answers are counted together."""
    parameters = ",".join(f"{name}={value:g}" for name, value in one["parameters"].items())
    return f"{one['strategy']}{parameters and f'({parameters})'} {one['size'][0]}×{one['size'][1]}"


def kinds(cameras: list[Camera]) -> dict[str, Camera]:
    return {kind(one): one for one in cameras}


def full_batch(server: Server, source: str) -> dict[str, float]:
    """Rows of a full forward, and the seconds that it takes when nothing else goes on."""
    many, _ = run(server, [camera("mean", {"views": 256}, (448, 336))], SHORT, "rows of a full batch", source)
    rows = int(max(answer[ROWS] for answer in together(many)))
    full, _ = run(server, [camera("mean", {"views": rows}, (448, 336))], SHORT, "a full batch", source)
    return {"rows": rows, "seconds": statistics.median(answer[ENCODE] for answer in together(full))}


def alone(server: Server, one: Camera, source: str) -> dict[str, float]:
    """Median seconds in each stage of such a camera's request on an idle server."""
    waiting = camera(one["strategy"], one["parameters"], one["size"])
    return medians(together(run(server, [waiting], SHORT, f"alone: {kind(one)}", source)[0]))


def capacity(server: Server, cameras: list[Camera], source: str) -> float:
    """Answers a second when these cameras wait for their answers, each with two frames under way."""
    waiting = [camera(one["strategy"], one["parameters"], one["size"]) | {"width": 2} for one in cameras]
    seconds, _ = run(server, waiting, LOOP, "capacity", source)
    return statistics.mean(len(answers) for answers in seconds[2:LOOP])


def measure_load(server: Server, cameras: list[Camera], seconds: int, name: str, source: str, rows: int = 0) -> Any:
    """What happened under load; `rows` of a full batch."""
    with watch_server(server.metrics) as looks:
        by_second, counts = run(server, cameras, seconds, name, source)
    answers, during = together(by_second), by_second[:seconds]
    of_kind = {name: [a for a in answers if kind(cameras[int(a[CAMERA])]) == name] for name in kinds(cameras)}
    each = [sum(a[CAMERA] == number for a in answers) for number in range(len(cameras))]
    return {
        "seconds": seconds,
        "answers_per_second": len(together(during)) / seconds,
        "answers_of_a_camera": {"fewest": min(each), "most": max(each)},
        "counts": {"answers": len(answers), **counts},
        "drops": drops(looks),
        "ages": ages(answers),
        "ends": ends(during),
        "windows": windows(during, max(1, seconds // 60)),
        "kinds": {
            name: {"answers": len(some), "ages": ages(some), "stages": stages(some)} for name, some in of_kind.items()
        },
        "batch_seconds": forward(answers, rows),
        "memory": memory(looks),
        "rss": [(look.at - looks[0].at, look.rss / 1e6) for look in looks],
        "cpu": cpu(looks),
        "most": {what: max(getattr(look, what) for look in looks) for what in ("waiting", "inside", "fds")},
    }


def run(
    server: Server, cameras: list[Camera], seconds: int, name: str, source: str
) -> tuple[list[list[Any]], dict[str, int]]:
    """The answers of each second, those that came after the last one at the end; and what was counted."""
    options = {"address": server.address, "cameras": cameras, "seconds": seconds, "source": source}
    command = [sys.executable, str(CAMERAS), json.dumps(options | {"seed": 0, "patience": 60.0})]
    by_second: list[list[Any]] = []
    counts: dict[str, int] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        if process.stdout.readline() != "warm\n":
            raise SystemExit(f"{name}: no stream could be opened")
        process.stdin.write("go\n")
        process.stdin.flush()
        for line in tqdm(process.stdout, name, total=seconds + 1, unit="s", leave=False):
            report = json.loads(line)
            by_second.append(report["answers"])
            for what, count in report["counts"].items():
                counts[what] = counts.get(what, 0) + count
    if ended := [what for what in counts if what.startswith("stream ended")]:
        raise SystemExit(f"{name}: {ended}")
    return by_second, counts
