"""The demo: starts a service, streams a virtual camera over real photographs, and takes four strategies in turn; then a
person corrects six answers.

Like any client, it knows the service only by its address and uses the package `tta_client`.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tta_client import Choice, Client, FrameAnswer, Options, TTAClientError
from tta_client.camera import VirtualSource, encode_jpegs
from tta_client.camera.photographs import LABELS
from tta_client.types.frames import Frame

from .lessons import lesson_lines, teach
from .service import Addresses, DemoFailed, start_service
from .table import Board, metric_lines, open_board, summary
from .tally import Count

__all__ = ["DemoFailed", "TTAClientError", "run"]

STRATEGIES = ("zero_shot", "zero", "mta", "tda")
IN_FLIGHT = 2  # frames: one is encoded while the next is decoded


def run(frames: int = 240, views: int = 16, flags: Sequence[str] = ()) -> None:
    """Stream `frames` frames, show the answers, teach, stop the service. Raises `DemoFailed` when a frame failed."""
    print("starting the service ...", flush=True)
    with start_service(flags) as addresses, Client(addresses.grpc) as client:
        client.wait_until_serving()
        info = client.info()
        print(f"{info.model} on {info.device}, gRPC {addresses.grpc}, {addresses.metrics}", flush=True)
        count = Count(STRATEGIES, started=time.monotonic())
        with open_board(count) as show:
            _stream(client, VirtualSource(frames=frames, seed=1), _choices(client, views), count, show)
        print("\n".join(summary(count, time.monotonic() - count.started)))
        print("\n".join(lesson_lines(teach(client))), flush=True)
        print("\n".join(["", f"{addresses.metrics} says", *metric_lines(scrape(addresses))]), flush=True)
    print("the service has stopped", flush=True)
    if count.all.failed or count.frames < frames:
        raise DemoFailed(f"{count.all.failed} of {frames} frames failed, {frames - count.frames} have no answer")


def _choices(client: Client, views: int) -> list[Choice]:
    """The strategies, each with `views` where it has such a parameter."""
    takes = {entry.name: {parameter.name for parameter in entry.parameters} for entry in client.strategies()}
    return [Choice(name, {"views": views} if "views" in takes[name] else {}) for name in STRATEGIES]


def _stream(client: Client, camera: VirtualSource, choices: Sequence[Choice], count: Count, show: Board) -> None:
    def frames() -> Iterator[Frame]:
        for frame in encode_jpegs(camera):
            yield replace(frame, options=Options(strategy=choices[frame.frame_id % len(choices)]))

    for result in client.stream(frames(), LABELS, session="demo", policy="block", in_flight=IN_FLIGHT):
        if isinstance(result, FrameAnswer):
            count.add_answer(result.answer.strategy.name, result.answer, result.scene)
        else:
            count.add_failure(choices[result.frame_id % len(choices)].name, str(result.error))
        show()


def scrape(addresses: Addresses) -> str:
    """The text of the service's `/metrics`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine needs no proxy
    with direct.open(addresses.metrics, timeout=10) as reply:
        return reply.read().decode()
