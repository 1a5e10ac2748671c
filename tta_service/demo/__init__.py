"""The whole thing in a minute: a service of its own, a camera over real photographs, four strategies in turn.

It is a client like any other: it knows the service only by its address and the package `tta_client`.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tta_client import Choice, Client, FrameAnswer, Options, TTAClientError
from tta_client.camera import Virtual, encoded
from tta_client.camera.photographs import LABELS
from tta_client.types.frames import Frame

from .service import Addresses, DemoFailed, service
from .table import Board, board, metric_lines, summary
from .tally import Count

__all__ = ["DemoFailed", "TTAClientError", "run"]

STRATEGIES = ("zero_shot", "zero", "mta", "tda")
UNDER_WAY = 2  # frames at a time: one is encoded while the next is decoded


def run(frames: int = 240, views: int = 16, flags: Sequence[str] = ()) -> None:
    """Streams `frames`, shows what comes back, stops the service. Raises `DemoFailed` when any frame failed."""
    print("starting the service ...", flush=True)
    with service(flags) as addresses, Client(addresses.grpc) as client:
        client.wait_until_serving()
        about = client.info()
        print(f"{about.model} on {about.device}, gRPC {addresses.grpc}, {addresses.metrics}", flush=True)
        count = Count(STRATEGIES, started=time.monotonic())
        with board(count) as show:
            _stream(client, Virtual(frames=frames, seed=1), _choices(client, views), count, show)
        print("\n".join(summary(count, time.monotonic() - count.started)))
        print("\n".join(["", f"{addresses.metrics} says", *metric_lines(_scrape(addresses))]), flush=True)
    print("the service has stopped", flush=True)
    if count.all.failed or count.frames < frames:
        raise DemoFailed(f"{count.all.failed} of {frames} frames failed, {frames - count.frames} have no answer")


def _choices(client: Client, views: int) -> list[Choice]:
    """The strategies, each with `views` where it has such a parameter."""
    takes = {entry.name: {parameter.name for parameter in entry.parameters} for entry in client.strategies()}
    return [Choice(name, {"views": views} if "views" in takes[name] else {}) for name in STRATEGIES]


def _stream(client: Client, camera: Virtual, choices: Sequence[Choice], count: Count, show: Board) -> None:
    def frames() -> Iterator[Frame]:
        for frame in encoded(camera):
            yield replace(frame, options=Options(strategy=choices[frame.frame_id % len(choices)]))

    for result in client.stream(frames(), LABELS, session="demo", policy="block", in_flight=UNDER_WAY):
        if isinstance(result, FrameAnswer):
            count.add_answer(result.answer.strategy.name, result.answer, result.scene)
        else:
            count.add_failure(choices[result.frame_id % len(choices)].name, str(result.error))
        show()


def _scrape(addresses: Addresses) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    with direct.open(addresses.metrics, timeout=10) as reply:
        return reply.read().decode()
