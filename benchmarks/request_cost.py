"""CPU time of a request with one view: this tree beside an earlier one, in one run.

Starts a server of each tree with the pocket model, sends `zero_shot` requests one after another, some rounds to each
server in turn, and compares the CPU time that the server processes spend: for a JPEG, where decoding and the image
tower take most of it, and for features, where nearly all of it is the service's own machinery. Also a frame of a `tda`
stream with features.

    git clone . /tmp/before && git -C /tmp/before checkout COMMIT
    python benchmarks/request_cost.py --before /tmp/before [--requests 200] [--rounds 7]

Writes benchmarks/results/request_cost.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
from PIL import Image

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "request_cost.json"
LABELS = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog", "house"]))


@contextlib.contextmanager
def server(tree: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server of the code in `tree`: its address and its process."""
    command = [sys.executable, "-m", "tta_service", "serve", "--port", "0", "--metrics-port", "0"]
    command += ["--log-level", "warning", "--set", "batch.max_rows=16"]
    command += ["--no-http"] if (tree / "tta_service" / "http").exists() else []
    paths = {"PYTHONPATH": f"{tree}:{tree / 'clients/python'}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tree, env=os.environ | paths)
    try:
        line = next(line for line in process.stdout or () if line.startswith("SERVING"))
        yield line.split("grpc=")[1].split()[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def requests(stub: AdaptationServiceStub) -> dict[str, Callable[[], object]]:
    """By name, what sends one request and waits for its answer."""
    generator, info = np.random.default_rng(0), stub.GetServerInfo(pb.GetServerInfoRequest())
    file, rows = io.BytesIO(), generator.normal(size=(1, info.dimension)).astype("<f4")
    Image.fromarray(generator.integers(0, 256, (112, 112, 3), dtype=np.uint8)).save(file, "JPEG")
    rows /= np.linalg.norm(rows)
    features = pb.Image(features=pb.Features(values=rows.tobytes(), views=1, dimension=info.dimension))
    features.features.model = info.model_fingerprint
    jpeg = pb.Image(encoded=file.getvalue())

    opening = pb.OpenStream(labels=LABELS, policy=pb.OpenStream.POLICY_BLOCK)
    opening.options.strategy.name = "tda"
    outgoing: queue.SimpleQueue[pb.ClassifyStreamRequest] = queue.SimpleQueue()
    outgoing.put(pb.ClassifyStreamRequest(open=opening))
    replies, numbers = stub.ClassifyStream(iter(outgoing.get, None)), iter(range(1, 10**9))

    def frame() -> None:
        outgoing.put(pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=next(numbers), image=features)))
        while next(replies).WhichOneof("kind") != "answer":
            pass

    return {
        "zero_shot, 112x112 JPEG": lambda: stub.Classify(pb.ClassifyRequest(image=jpeg, labels=LABELS)),
        "zero_shot, features": lambda: stub.Classify(pb.ClassifyRequest(image=features, labels=LABELS)),
        "tda stream frame, features": frame,
    }


def measure(process: psutil.Process, send: Callable[[], object], count: int) -> tuple[float, float]:
    """Milliseconds of one request: of the server's CPU, and until the answer is here."""
    before, began = process.cpu_times(), time.perf_counter()
    for _ in range(count):
        send()
    seconds, after = time.perf_counter() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return 1e3 * cpu / count, 1e3 * seconds / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a clone of an earlier commit")
    parser.add_argument("--requests", type=int, default=200, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    trees = {"before": chosen.before.resolve(), "now": HERE.parent}
    report: dict[str, object] = {"machine": _processor(), "cores": os.cpu_count()}
    report |= {name: _commit(tree) for name, tree in trees.items()}
    with contextlib.ExitStack() as stack:
        sides = {}
        for name, tree in trees.items():
            address, process = stack.enter_context(server(tree))
            channel = stack.enter_context(grpc.insecure_channel(address))
            sides[name] = process, requests(AdaptationServiceStub(channel))
        for kind in sides["now"][1]:
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
            for round_number in range(chosen.rounds + 1):
                for name, (process, sends) in sides.items():
                    figure = measure(process, sends[kind], chosen.requests)
                    if round_number:  # the first one warms up
                        figures[name].append(figure)
            median = {
                n: [statistics.median(column) for column in zip(*rows, strict=True)] for n, rows in figures.items()
            }
            ratios = [now[0] / before[0] for now, before in zip(figures["now"], figures["before"], strict=True)]
            report[kind] = {
                "cpu_ms": {name: round(value[0], 3) for name, value in median.items()},
                "latency_ms": {name: round(value[1], 3) for name, value in median.items()},
                "cpu_now_by_before": round(statistics.median(ratios), 3),
                "of_the_rounds": [round(min(ratios), 3), round(max(ratios), 3)],
            }
            print(kind, report[kind], flush=True)
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _commit(tree: Path) -> str:
    words = ["git", "-C", str(tree), "log", "-1", "--format=%h %cs"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
