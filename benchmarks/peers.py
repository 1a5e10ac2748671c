"""Zero-shot answers of the service beside FastAPI with open_clip and LitServe: requests a second, CPU of each.

Each peer gets a virtual environment of its own, made of PyPI below --envs; torch and open_clip are those of this
environment for all. ViT-B-16 with random weights; JPEGs of 448x336 by HTTP, from 1 and from 16 clients at a time. CPU
seconds are those of the server's processes. On a busy machine read those of --threads 1: several threads of a forward
spin while they wait for one another.

    python benchmarks/peers.py [--sides ours:float32,ours:auto,fastapi,litserve] [--seconds 15] [--threads 1]

Writes benchmarks/results/peers.json: what is there of other sides stays.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from machine import instructions, load_average, processor
from overhead_sides import pictures
from peers_fastapi import NAMES

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "peers.json"
PACKAGES = {"fastapi": ["fastapi", "uvicorn"], "litserve": ["litserve"]}
PATIENCE = 180.0  # seconds until a server answers


def make_environment(peer: str, folder: Path) -> Path:
    """The Python of the peer's environment, which is made if it is not there. It sees this environment's packages."""
    python = folder / peer / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / peer)], check=True)
        (site,) = (folder / peer).glob("lib/python*/site-packages")
        (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[peer]], check=True)
    return python


def command_of(side: str, port: int, folder: Path, envs: Path, threads: int) -> tuple[list[str], str]:
    """What starts that side, and the path that answers."""
    if side.startswith("ours:"):
        form = side.removeprefix("ours:")
        words = ["--model", "ViT-B-16", "--checkpoint", str(random_weights(folder)), "--precision", form]
        words += ["--runtime", "auto"] if form == "auto" else []
        words += ["--port", "0", "--metrics-port", "0", "--http-port", str(port), "--log-level", "warning"]
        words += ["--set", f"lanes.cores={threads}"]
        return [sys.executable, "-m", "tta_service", "serve", *words], f"/v1/classify?labels={','.join(NAMES)}"
    python = str(make_environment(side, envs))
    return [python, str(HERE / f"peers_{side}.py"), str(port)], "/predict"


def random_weights(folder: Path) -> Path:
    """A file of weights as open_clip initialises them."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.create_model("ViT-B-16").state_dict()
    save_file({name: value.half().contiguous() for name, value in state.items()}, folder / "ViT-B-16.safetensors")
    return folder / "ViT-B-16.safetensors"


@contextlib.contextmanager
def server(command: list[str], log: Path) -> Iterator[psutil.Process]:
    """The running command; it ends with its children."""
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        parent = psutil.Process(process.pid)
        try:
            yield parent
        finally:
            family = [*parent.children(recursive=True), parent] if parent.is_running() else []
            process.terminate()
            _, alive = psutil.wait_procs(family, 20)
            for each in alive:
                each.kill()


def body_of(side: str, image: bytes) -> dict[str, Any]:
    """The arguments of `post`."""
    if side.startswith("ours:"):
        return {"content": image, "headers": {"content-type": "image/jpeg"}}
    text = base64.b64encode(image).decode()
    return {"json": {"image": text}}


async def load(url: str, bodies: list[dict[str, Any]], clients: int, seconds: float) -> int:
    """Requests that were answered in that time, each client with one under way."""
    answered, end = 0, time.monotonic() + seconds

    async def client(number: int, to: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.monotonic() < end:
            response = await to.post(url, **bodies[(number + answered) % len(bodies)])
            response.raise_for_status()
            answered += 1

    async with httpx.AsyncClient(timeout=60) as to:
        await asyncio.gather(*(client(number, to) for number in range(clients)))
    return answered


def wait_for(url: str, body: dict[str, Any], process: psutil.Process, log: Path) -> None:
    """Until the first answer. Raises SystemExit when the server ends or needs more than `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.post(url, timeout=60, **body).is_success:
                return
        time.sleep(0.5)
    raise SystemExit(f"it does not answer: {log.read_text().strip().splitlines()[-1:]}")


def measure(side: str, seconds: float, envs: Path, folder: Path, threads: int) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, path = command_of(side, port, folder, envs, threads)
    url, bodies, log = f"http://127.0.0.1:{port}{path}", [body_of(side, image) for image in pictures(8)], folder / "log"
    row: dict[str, Any] = {}
    with server(command, log) as process:
        wait_for(url, bodies[0], process, log)
        for clients in (1, 16):
            asyncio.run(load(url, bodies, clients, 2))  # warms up
            before, began = _cpu(process), time.monotonic()
            answered = asyncio.run(load(url, bodies, clients, seconds))
            took, spent = time.monotonic() - began, _cpu(process) - before
            row[str(clients)] = {"requests_per_second": answered / took, "cpu_ms": 1e3 * spent / answered}
        row["rss_mb"] = sum(each.memory_info().rss for each in _family(process)) / 1e6
    return row


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in _family(process))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="ours:float32,ours:auto,fastapi,litserve")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=0, help="of a forward; 0: as many as cores")
    parser.add_argument("--envs", type=Path, default=Path.home() / ".cache" / "tta-service-peers")
    args = parser.parse_args()
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    report = json.loads(OUT.read_text()) if OUT.exists() else {"rows": {}}
    for side in args.sides.split(","):
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = measure(side, args.seconds, args.envs, Path(folder), args.threads)
            except (SystemExit, subprocess.CalledProcessError, httpx.HTTPError) as error:
                row = {"failed": str(error)}
        machine = {"processor": processor(), "instructions": instructions(), "cores": os.cpu_count()}
        report["rows"][side] = row | machine | {"threads": args.threads, "load": load_average()}
        print(side, row, flush=True)
        OUT.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
