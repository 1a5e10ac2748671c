"""Many RTSP cameras in one tta-camera on one core: does it keep pace, how old are the answers, is its memory flat?

GStreamer of Debian serves the cameras, whose pictures are scenes of the virtual camera, coded beforehand. The command
has one core; the service and the cameras have the others.

    python benchmarks/cameras.py [--cameras 16] [--fps 5] [--size 640x360] [--codec h264|mjpeg]
        [--strategy zero_shot] [--seconds 60] [--peer]
        [--name cameras]

Writes benchmarks/results/NAME.json and .md: the command's CPU time, the answers and their ages, and every ten seconds
what the command and the service hold. Exit status 1 when a camera ended, or more is held at the end than early on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from load_servers import SERVING, start_server
from machine import load_average, processor
from soak import grown

HERE = Path(__file__).resolve().parent
LOOK, WARM, STARTING = 10.0, 5.0, 300.0  # seconds between looks, before the first one, and until every camera answers
PEER = """
import grpc
from concurrent.futures import ThreadPoolExecutor
from tests.client.peer import Peer
from tta_client.v1.tta_pb2_grpc import add_AdaptationServiceServicer_to_server
server = grpc.server(ThreadPoolExecutor(100))
add_AdaptationServiceServicer_to_server(Peer(), server)
print("SERVING", f"grpc=127.0.0.1:{server.add_insecure_port('127.0.0.1:0')} metrics=", flush=True)
server.start()
server.wait_for_termination()
"""
GOP, PICTURES = 2, 60  # seconds between key frames, as cameras have; different pictures


def main() -> int:
    options = parse_options()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(serve_cameras(folder, options))
        server = stack.enter_context(start_server(["-c", PEER] if options.peer else SERVING))
        cores = sorted(os.sched_getaffinity(0))
        own, others = cores[-1:], cores[:-1] or cores
        for process in psutil.Process().children(recursive=True):
            process.cpu_affinity(others)
        command = start_command(folder, port, server.address, own[0], options)
        try:
            report = watch(folder / "out.jsonl", command, server.pid, options)
        finally:
            command.kill()
    report |= {
        name: getattr(options, name) for name in ("cameras", "fps", "size", "codec", "strategy", "peer", "seconds")
    }
    report |= {"cpu": processor(), "cores": os.cpu_count(), "load": load_average(), "date": time.strftime("%Y-%m-%d")}
    file = HERE / "results" / options.name
    file.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    file.with_suffix(".md").write_text(make_table(report))
    print(make_table(report))
    return 1 if report["ended"] or report["grown"] else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, choices=range(1, 65), metavar="N", default=16)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--codec", choices=("h264", "mjpeg"), default="h264")
    parser.add_argument("--strategy", default="zero_shot")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--peer", action="store_true", help="a server without a model, to measure the command alone")
    parser.add_argument("--name", default="cameras", help="of the files of results")
    return parser.parse_args()


@contextlib.contextmanager
def serve_cameras(folder: Path, options: argparse.Namespace) -> Iterator[int]:
    """The port of a process that serves them."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, data in enumerate(encode_pictures(options)):
        (pictures / f"{number:04}").write_bytes(data)
    words = ["/usr/bin/python3", str(HERE / "cameras_rtsp.py"), "0", options.codec, str(options.fps), str(pictures)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            word, _, port = process.stdout.readline().partition(" ")
            if word != "ready":
                raise SystemExit("no RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good")
            yield int(port)
        finally:
            process.kill()


def encode_pictures(options: argparse.Namespace) -> Iterator[bytes]:
    """The coded pictures, the first of them a key frame."""
    import av
    from tta_client.camera import VirtualSource

    width, height = map(int, options.size.split("x"))
    codec = av.CodecContext.create("libx264" if options.codec == "h264" else "mjpeg", "w")
    codec.width, codec.height, codec.framerate = width, height, round(options.fps) or 1  # type: ignore[attr-defined]
    codec.pix_fmt = "yuv420p" if options.codec == "h264" else "yuvj420p"  # type: ignore[attr-defined]
    if options.codec == "h264":
        codec.gop_size = max(1, round(GOP * options.fps))  # type: ignore[attr-defined]
        codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "crf": "23",
            "x264-params": "annexb=1:sliced-threads=0",
        }
    scenes = VirtualSource(PICTURES, width=width, height=height, shot=PICTURES // 3)
    pictures = [av.VideoFrame.from_ndarray(frame.image, format="rgb24") for frame in scenes]
    for picture in (*pictures, None):
        yield from map(bytes, codec.encode(picture))  # type: ignore[attr-defined]


def start_command(folder: Path, port: int, address: str, core: int, options: argparse.Namespace) -> Any:
    """The command on one core."""
    tables = (f'[[camera]]\nname = "{n}"\nurl = "rtsp://127.0.0.1:{port}/{n}"\n' for n in range(1, options.cameras + 1))
    (folder / "cameras.toml").write_text("".join(tables))
    words = ["-m", "tta_client.camera.cli", "--sources", str(folder / "cameras.toml"), "--labels", "cat,flower,temple"]
    words += ["--strategy", options.strategy, "--json", "--server", address]
    words += ["--wait", "--sink", f"jsonl:{folder}/events.jsonl", "--spool", str(folder / "spool")]
    with (folder / "out.jsonl").open("w") as out:
        process = subprocess.Popen(["taskset", "-c", str(core), sys.executable, *words], stdout=out)
    return process


def watch(out: Path, command: subprocess.Popen[bytes], service: int, options: argparse.Namespace) -> dict[str, Any]:
    """The numbers of the given seconds, which begin when every camera has been answered."""
    until = time.monotonic() + STARTING
    while len({line["camera"] for line in read_lines(out)[0]}) < options.cameras:
        if command.poll() is not None or time.monotonic() > until:
            raise SystemExit("not every camera is answered")
        time.sleep(1.0)
    time.sleep(WARM)
    sides = {"command": psutil.Process(command.pid), "service": psutil.Process(service)}
    begin, mark, looks = time.monotonic(), out.stat().st_size, list[dict[str, float]]()
    before = {name: cpu_seconds(side) for name, side in sides.items()}
    while (at := time.monotonic() - begin) < options.seconds and command.poll() is None:
        held = {f"{name} {what}": value for name, side in sides.items() for what, value in hold(side).items()}
        looks.append({"at": round(at, 1), **held, "load": load_average()})
        time.sleep(min(LOOK, options.seconds - at))
    seconds = time.monotonic() - begin
    cpu = {name: (cpu_seconds(side) - before[name]) / seconds for name, side in sides.items()}
    lines, _ = read_lines(out, mark)
    command.send_signal(signal.SIGTERM)
    command.wait(60)
    summaries = [line["summary"] for line in read_lines(out)[1]]
    answers = Counter(line["camera"] for line in lines)
    ages = sorted(line["age"] for line in lines) or [float("nan")]
    return {
        "cpu_of_a_core": cpu,
        "answers_per_second": sum(answers.values()) / seconds,
        "answers_of_the_slowest_per_second": min(answers[str(n)] for n in range(1, options.cameras + 1)) / seconds,
        "age_ms": {f"p{p}": 1000 * ages[min(len(ages) - 1, len(ages) * p // 100)] for p in (50, 95, 99)},
        "dropped": dict(sum((Counter(one["dropped"]) for one in summaries), Counter[str]())),
        "skipped": dict(sum((Counter(one["skipped"]) for one in summaries), Counter[str]())),
        "ended": options.cameras - len(answers),
        "looks": looks,
        "grown": grown(looks),
    }


def read_lines(file: Path, begin: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The answers and the summaries that were printed from a byte on."""
    with file.open() as lines:
        lines.seek(begin)
        printed = [json.loads(line) for line in lines if line.endswith("\n")]
    return [one for one in printed if "label" in one], [one for one in printed if "summary" in one]


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def hold(process: psutil.Process) -> dict[str, float]:
    memory = process.memory_info().rss / 1e6
    return {"rss": memory, "threads": process.num_threads(), "files": process.num_fds()}


HEAD = """# {cameras} cameras on one core

`python benchmarks/cameras.py --cameras {cameras} --fps {fps:g} --size {size} --codec {codec} --strategy {strategy}
--seconds {seconds:g}{with_peer}`, {cores} cores ({cpu}), load average {load}, {date}.

The command took {command:.2f} of one core, the service {service:.2f}. {answers_per_second:.1f} answers a second, of
the slowest camera {answers_of_the_slowest_per_second:.2f}; age p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms. Dropped:
{dropped}. {verdict}.

| minutes | command: RSS, MB | threads | files | service: RSS, MB | threads | files | load average |
|---|---|---|---|---|---|---|---|
"""


def make_table(report: dict[str, Any]) -> str:
    verdict = f"Grew: {report['grown']}" if report["grown"] else "Nothing grew"
    dropped = ", ".join(f"{count} {why}" for why, count in report["dropped"].items()) or "none"
    cells = (
        report
        | report["cpu_of_a_core"]
        | report["age_ms"]
        | {"verdict": verdict, "dropped": dropped, "with_peer": " --peer" * report["peer"]}
    )
    rows = [HEAD.format(**cells)]
    for one in report["looks"][:: max(1, len(report["looks"]) // 24)]:
        held = " | ".join(f"{value:.0f}" for name, value in one.items() if name not in ("at", "load"))
        rows.append(f"| {one['at'] / 60:.1f} | {held} | {one['load']} |\n")
    return "".join(rows)


if __name__ == "__main__":
    sys.exit(main())
