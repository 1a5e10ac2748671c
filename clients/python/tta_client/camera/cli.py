"""tta-camera: pictures of a camera through the service, answers on the screen."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from typing import Any, NoReturn

from ..errors import TTAClientError
from ..statistics import Statistics
from ..sync.client import Client
from ..types.answers import FrameFailure
from ..types.frames import Frame
from ..types.options import Choice
from .arguments import Arguments, parse_arguments
from .gate import gated
from .jpeg import encoded
from .latest_frame import newest
from .masking import MaskingFormatter, hide_secrets, without_secrets
from .on_device import Encoder, encode_frames
from .pace import first, paced
from .reopening import Lasting
from .show import open_screen, untaught
from .sources import count_frames
from .tally import Tally
from .text import lenient


def command() -> NoReturn:
    """The program. It ends without taking Python apart: a codec that still works in a thread would abort it then."""
    hide_secrets()
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """0 when every frame was answered; 1 when a frame, the stream or the source failed, or nothing was answered.

    Ctrl-C and SIGTERM end the stream and print the summary; that alone is no failure.
    """
    lenient(sys.stdout, sys.stderr)
    wanted = parse_arguments(arguments)
    told = logging.StreamHandler()
    told.setFormatter(MaskingFormatter("tta-camera: %(message)s"))
    logging.basicConfig(handlers=[told], level=logging.WARNING)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally, trouble = Tally(), ""
    try:
        with open_screen(wanted.json, sys.stdout) as output:
            try:
                _watch(wanted, output, tally)
            except KeyboardInterrupt:
                pass
            except (TTAClientError, OSError, ValueError) as error:
                trouble = str(error)
            output.end(tally)
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall Python try at its end
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if trouble:
        print(f"tta-camera: {without_secrets(trouble)}", file=sys.stderr)
    return 1 if trouble or not tally.complete else 0


def _watch(wanted: Arguments, output: Any, tally: Tally) -> None:
    with (
        Client(wanted.server) as client,
        client.stream(
            _frames_to_send(pictures(wanted, tally.statistics), wanted, client, tally.statistics),
            wanted.labels,
            options=wanted.options,
            policy=wanted.policy,
            session=wanted.session,
            buffer=wanted.buffer,
            frame_budget=wanted.frame_budget,
            paced=wanted.paced,
            reconnect=wanted.reconnect,
            statistics=tally.statistics,
        ) as stream,
    ):
        for result in stream:
            if new := tally.count(result):
                print(f"tta-camera: {untaught(new)}", file=sys.stderr)
            output.show(result, tally)
            if isinstance(result, FrameFailure) and wanted.strict:
                raise result.error


def pictures(wanted: Arguments, statistics: Statistics) -> Iterator[Frame]:
    """Source → newest → gate → JPEG. Only a stream that may skip frames gets the newest; a blocking one gets all."""
    source = count_frames(wanted.source, statistics)
    frames = source if source.live else paced(source, wanted.fps)
    if wanted.source.live:
        frames = Lasting(frames, wanted.reopen, statistics) if wanted.reopen else frames
        frames = frames if wanted.policy == "block" else newest(frames, statistics)
    if not wanted.gate.idle:
        frames = gated(frames, wanted.gate, statistics)
    return encoded(first(frames, wanted.frames), wanted.short_side, wanted.quality)


def _frames_to_send(
    frames: Iterator[Frame], wanted: Arguments, client: Client, statistics: Statistics
) -> Iterator[Frame]:
    """As features when no pixel may leave: of the very JPEGs that would have been sent, so the answers are the same."""
    frames = _in_turn(frames, wanted)
    if wanted.on_device is None:
        return frames
    if wanted.reconnect and wanted.reconnect.from_the_start:
        client.wait_until_serving(None)
    encoder = Encoder(wanted.on_device, client.info())
    encoder.check(wanted.strategies)
    return encode_frames(frames, encoder.features, wanted.options, statistics)


def _in_turn(frames: Iterator[Frame], wanted: Arguments) -> Iterator[Frame]:
    """Several strategies take the frames in turn; a single one is the stream's."""
    if len(wanted.strategies) < 2:
        return frames
    turns: Iterator[Choice] = cycle(wanted.strategies)
    return (replace(frame, options=replace(wanted.options, strategy=next(turns))) for frame in frames)


if __name__ == "__main__":
    command()
