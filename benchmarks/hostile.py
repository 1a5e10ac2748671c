"""What attacks do to a neighbour: how many of its calls are answered in time without and with each of them.

The service runs in a process of its own with API keys. The neighbour (hostile_neighbour.py) makes ten calls a second on
old and new connections by gRPC and HTTP; a call is in time when its right answer comes within 0.25 s of when it was
due. Each attack (hostile_attacks.py) is another owner's process: it runs some seconds beside the neighbour and is then
gone without a word. After it the neighbour is watched until ten calls in a row are in time.

    python benchmarks/hostile.py [--seconds 6] [--attacks PART-OF-NAME,…] [--list]

Writes benchmarks/results/hostile.json and .md; with `--attacks` these rows replace those of before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from load_servers import Server, start_server
from machine import load_average, processor

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "hostile.json"
IN_TIME, IN_A_ROW, PATIENCE = 0.25, 10, 60.0
SERVE = [
    "-m",
    "tta_service",
    "serve",
    "--set",
    "batch.max_rows=16",
    "--port",
    "0",
    "--http-port",
    "0",
    "--metrics-port",
    "0",
    "--log-level",
    "error",
]
HEAD = """# What attacks do to a neighbour

`python benchmarks/hostile.py`: the neighbour makes ten calls a second; each attack is another owner's process beside it
on the same {cores} cores ({cpu}), at lower priority. In time: answered within {limit:g} s. The goal is 95 % of what is
in time without the attack. Load average: of the machine while it was measured, with what else ran there.

| attack | in time without | with | of it | p95, ms | RSS before, MB | most | after | normal after, s | load | goal |
|---|---|---|---|---|---|---|---|---|---|---|
"""


class Neighbour:
    """Its calls so far."""

    def __init__(self, where: dict[str, str]) -> None:
        command = [sys.executable, str(HERE / "hostile_neighbour.py"), json.dumps(where)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._calls: list[tuple[float, str, float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._calls.append(tuple(json.loads(line)))

    def between(self, began: float, ended: float) -> list[tuple[float, str, float, str]]:
        """The calls that were due then, in their order."""
        return sorted(call for call in list(self._calls) if began <= call[0] < ended)

    def normal_since(self, moment: float) -> float | None:
        """When the first of ten calls in a row was due that were in time; None when that has not come yet."""
        row = 0
        for call in self.between(moment, time.monotonic() - IN_TIME):
            row = row + 1 if in_time(call) else 0
            if row == IN_A_ROW:
                return call[0] - (IN_A_ROW - 1) * 0.1
        return None

    def close(self) -> None:
        self._process.kill()


def in_time(call: tuple[float, str, float, str]) -> bool:
    return not call[3] and call[2] <= IN_TIME


def share(calls: list[tuple[float, str, float, str]]) -> float:
    return sum(map(in_time, calls)) / len(calls) if calls else 0.0


def names() -> list[str]:
    sys.path.insert(0, str(HERE))
    from hostile_attacks import ATTACKS

    return list(ATTACKS)


def measure(
    name: str, where: dict[str, str], neighbour: Neighbour, server: psutil.Process, seconds: float
) -> dict[str, Any]:
    """One row of the table."""
    began, before = time.monotonic(), rss(server)
    time.sleep(seconds)
    peak, watched = [before], threading.Event()

    def watch() -> None:
        while not watched.wait(0.05):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak.append(rss(server))

    command = [sys.executable, str(HERE / "hostile_attacks.py"), name, json.dumps(where)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdin
    process.stdout.readline()
    watcher = threading.Thread(target=watch)
    watcher.start()
    attacked = time.monotonic()
    time.sleep(seconds)
    process.stdin.write("\n")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
    over = time.monotonic()
    normal = None
    while normal is None and time.monotonic() < over + PATIENCE and server.is_running():
        time.sleep(0.2)
        normal = neighbour.normal_since(over)
    time.sleep(1.0)
    watched.set()
    watcher.join()
    ended = process.stdout.read().strip()
    quiet, loud = neighbour.between(began, began + seconds), neighbour.between(attacked, over)
    return {
        "attack": name,
        "without": round(share(quiet), 4),
        "with": round(share(loud), 4),
        "p95_without": p95(quiet),
        "p95_with": p95(loud),
        "failed": sorted({f"{kind}: {why}" for _, kind, _, why in loud if why}),
        "rss_before": round(before, 1),
        "rss_most": round(max(peak), 1),
        "rss_after": round(rss(server), 1) if server.is_running() else 0.0,
        "normal_after": None if normal is None else round(max(0.0, normal - over), 1),
        "attacker": json.loads(ended.splitlines()[-1]) if ended else {},
        "seconds": round(over - attacked, 1),
        "load_average": load_average(),
    }


def p95(calls: list[tuple[float, str, float, str]]) -> float | None:
    """Milliseconds."""
    return round(1000 * statistics.quantiles([call[2] for call in calls], n=20)[-1], 1) if len(calls) > 1 else None


def rss(server: psutil.Process) -> float:
    """MB of the server and its children."""
    return sum(one.memory_info().rss for one in [server, *server.children(recursive=True)]) / 1e6


@contextlib.contextmanager
def attacked_server() -> Iterator[tuple[Server, dict[str, str], dict[str, str]]]:
    """A server with two keys, and what the neighbour and the attacker know of it."""
    from tta_service.wire.keys import ApiKey, Role, edit_keys

    with tempfile.TemporaryDirectory() as folder:
        tokens = list[str]()
        with edit_keys(keys := Path(folder) / "keys") as held:
            for owner in ("neighbour", "attacker"):
                key, token = ApiKey.make(owner, Role.TEACH)
                held[key.id] = key
                tokens.append(token)
        with start_server([*SERVE, "--set", f"server.keys={keys}"]) as server:
            each = [{"grpc": server.address, "http": server.http, "key": token} for token in tokens]
            yield server, each[0], each[1]


def table(report: dict[str, Any]) -> str:
    lines = [HEAD.format(**report["machine"], limit=IN_TIME)]
    for row in report["rows"]:
        kept = row["with"] / row["without"] if row["without"] else 0.0
        normal = "not within 60" if row["normal_after"] is None else f"{row['normal_after']:.1f}"
        lines.append(
            f"| {row['attack']} | {row['without']:.0%} | {row['with']:.0%} | {kept:.0%} | {row['p95_with'] or 0:.0f} "
            f"| {row['rss_before']:.0f} | {row['rss_most']:.0f} | {row['rss_after']:.0f} | {normal} "
            f"| {row['load_average']} | {'kept' if kept >= 0.95 else 'missed'} |\n"
        )
    return "".join(lines)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=float, default=6.0)
    ask.add_argument("--attacks", default="", help="parts of names, with commas between; all without")
    ask.add_argument("--list", action="store_true")
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    chosen = [name for name in names() if any(part in name for part in args.attacks.split(","))]
    if args.list:
        return print("\n".join(names()))
    rows = {row["attack"]: row for row in json.loads(args.out.read_text())["rows"]} if args.out.exists() else {}
    while chosen:
        with attacked_server() as (server, neighbours, attackers):
            neighbour, process = Neighbour(neighbours), psutil.Process(server.pid)
            time.sleep(2.0)
            normal = True
            while chosen and normal:  # a server that does not recover is replaced
                name = chosen.pop(0)
                rows[name] = measure(name, attackers, neighbour, process, args.seconds)
                normal = rows[name]["normal_after"] is not None
                print(json.dumps(rows[name]), flush=True)
                machine = {"cpu": processor(), "cores": os.cpu_count()}
                report = {"machine": machine, "rows": [rows[one] for one in names() if one in rows]}
                args.out.write_text(json.dumps(report, indent=1) + "\n")
                args.out.with_suffix(".md").write_text(table(report))
            neighbour.close()
    print(args.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
