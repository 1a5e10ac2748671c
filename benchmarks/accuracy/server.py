"""The service under test: one that starts on loopback and ends with the block, or one at a given address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

WIDE = {  # what the papers' label sets need beyond the service's defaults
    "limits.templates": 80,
    "limits.names": 5000,
    "batch.waiting": 4096,
    "text.cache_bytes": 1 << 30,
    "text.activation_bytes": 4 << 30,
    "sessions.session_bytes": 1 << 30,
    "sessions.owner_bytes": 16 << 30,
    "sessions.total_bytes": 16 << 30,
}


@dataclass(frozen=True)
class Model:
    """As the service's own flags name it."""

    name: str = "pocket"
    pretrained: str = ""
    checkpoint: str = ""
    device: str = "auto"
    precision: str = "float32"

    def __str__(self) -> str:
        return self.checkpoint or (f"{self.name}/{self.pretrained}" if self.pretrained else self.name)

    @property
    def flags(self) -> list[str]:
        given = {"model": self.name, "pretrained": self.pretrained, "checkpoint": self.checkpoint}
        given |= {"device": self.device, "precision": self.precision}
        return [word for flag, value in given.items() if value for word in (f"--{flag}", value)]


@contextmanager
def start_service(model: Model, address: str = "", cores: int = 0) -> Iterator[str]:
    """The address of a service with that model. Raises RuntimeError when ours does not start."""
    if address:
        yield address
        return
    words = [sys.executable, "-m", "tta_service", "serve", "--port", "0", "--log-level", "warning", *model.flags]
    words += [word for knob, value in WIDE.items() for word in ("--set", f"{knob}={value}")]
    words += [
        "--no-http",
        "--set",
        "metrics.enabled=false",
        "--set",
        "batch.max_rows=64",
    ]  # only the check encodes there
    words += ["--set", f"lanes.cores={cores}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = next((line for line in process.stdout if line.startswith("SERVING")), "")
        if not line:
            raise RuntimeError("the service ended before it served")
        yield line.split("grpc=")[1].split()[0]
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def fingerprint_of(address: str) -> str:
    """Of the model that the service has."""
    with grpc.insecure_channel(address) as channel:
        stub = AdaptationServiceStub(channel)
        return stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=120, wait_for_ready=True).model_fingerprint
