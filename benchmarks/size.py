"""Does a server answer as many frames as `tta-service size` says? One server, and a fleet of two behind HAProxy.

The servers have one core of this machine; cameras, HAProxy and Redis have the others, so that only the servers are
busy. Both servers of the fleet share their core, so the fleet too should answer what one core can.

    python benchmarks/size.py [--seconds 4] [--strategies zero_shot,tda:views=2,taught:views=1,zero:views=16]

Writes benchmarks/results/size.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from load_servers import SERVING, start_server
from machine import load_average, processor

from tta_service.app.sizing.rates import STREAMS, draw_picture
from tta_service.wire.v1 import tta_pb2 as pb

RESULTS, ROOT = Path(__file__).resolve().parent / "results" / "size.json", Path(__file__).resolve().parents[1]
STRATEGIES = "zero_shot,tda:views=2,taught:views=1,zero:views=16"
ONE_CORE = ["--set", "lanes.cores=1"]
SECRET = "a secret of the benchmark"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--strategies", default=STRATEGIES)
    args = parser.parse_args()
    mine, others = {0}, set(range(os.cpu_count() or 1)) - {0}
    if not others:
        raise SystemExit("this takes two cores")
    os.environ["TTA_SESSIONS__SECRET"] = SECRET
    rows: list[dict[str, Any]] = []
    machine = {"cpu": processor(), "cores": os.cpu_count(), "load_before": load_average()}
    for text in args.strategies.split(","):
        name, *parameters = text.split(":")
        given = {key: float(value) for key, value in (one.split("=") for one in parameters)}
        work = predict(name, parameters, args.seconds, mine)
        row = {"strategy": text, "milliseconds": 1000 * work, "predicted": 1 / work}
        with pinned(mine), start_server([*SERVING, *ONE_CORE]) as server, pinned(others):
            row["one server"] = serve(server.address, name, given, args.seconds)
        with fleet(mine, others) as address:
            row["two behind HAProxy"] = serve(address, name, given, args.seconds)
        for kind in ("one server", "two behind HAProxy"):
            row[f"{kind}, ratio"] = row[kind] / row["predicted"]
        rows.append(row)
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
    RESULTS.write_text(json.dumps({"machine": machine, "seconds": args.seconds, "rows": rows}, indent=2) + "\n")
    return 0


def predict(name: str, parameters: list[str], seconds: float, cores: set[int]) -> float:
    """Seconds of a core for a frame, as the command says."""
    command = [sys.executable, "-m", "tta_service", "size", "--json", "--strategy", name, "--seconds", str(seconds)]
    command += [*ONE_CORE, *(word for one in parameters for word in ("--param", one))]
    with pinned(cores):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["rates"]["work"]


def serve(address: str, name: str, parameters: dict[str, float], seconds: float) -> float:
    """Frames a second that are answered to cameras that send as fast as they are."""
    opening = pb.OpenStream(policy=pb.OpenStream.POLICY_BLOCK)
    opening.labels.label_set.names.extend(f"thing {number}" for number in range(10))
    opening.options.strategy.name = name
    opening.options.strategy.parameters.update(parameters)
    image = pb.Image(encoded=draw_picture())
    texts = {key: b64encode(one.SerializeToString()).decode() for key, one in (("opening", opening), ("image", image))}
    load = json.dumps({"address": address, **texts, "streams": STREAMS, "seconds": seconds})
    command = [sys.executable, "-m", "tta_service.app.sizing.load"]
    done = subprocess.run(command, input=load, check=True, capture_output=True, text=True)
    answers, lasted, _ = json.loads(done.stdout.splitlines()[-1])
    return answers / lasted


@contextlib.contextmanager
def fleet(mine: set[int], others: set[int]) -> Iterator[str]:
    """The address of the HAProxy of deploy/, before two servers that share a Redis."""
    proxy, metrics, redis = free_ports(3)
    with contextlib.ExitStack() as stack:
        with pinned(others):
            quiet = ["--port", str(redis), "--save", "", "--appendonly", "no", "--dir", "/"]
            start(stack, ["redis-server", *quiet], {"LC_ALL": "C"})
        stored = ["--set", f"sessions.store=redis://127.0.0.1:{redis}/0"]
        wait_for(redis)
        with pinned(mine):
            servers = [stack.enter_context(start_server([*SERVING, *ONE_CORE, *stored])) for _ in "ab"]
        addresses = {f"TTA_{name}": server.address for name, server in zip("AB", servers, strict=True)}
        addresses |= {"TTA_PROXY_BIND": f"127.0.0.1:{proxy}", "TTA_PROXY_METRICS": f"127.0.0.1:{metrics}"}
        with pinned(others):
            start(stack, ["haproxy", "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")], addresses)
            wait_for(metrics)
            while get(metrics).count('state="UP"} 1') < 2:
                time.sleep(0.1)
            yield f"127.0.0.1:{proxy}"


def start(stack: contextlib.ExitStack, command: list[str], environment: dict[str, str]) -> None:
    quiet = subprocess.DEVNULL
    process = stack.enter_context(subprocess.Popen(command, env=os.environ | environment, stdout=quiet, stderr=quiet))
    stack.callback(process.kill)


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes that are started in the block have these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        return "\n".join(line for line in reply.read().decode().splitlines() if "haproxy_server_status" in line)


def wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


if __name__ == "__main__":
    raise SystemExit(main())
