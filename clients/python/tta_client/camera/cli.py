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
from .arguments import Wishes, wishes
from .gate import gated
from .jpeg import encoded
from .latest_frame import newest
from .masking import Masked, hide_secrets, without_secrets
from .on_device import Encoder, featured
from .pace import first, paced
from .reopening import Lasting
from .show import screen, untaught
from .sources import counted
from .tally import Tally
from .text import lenient


def command() -> NoReturn:
    """The program. It ends without taking Python apart: a codec that still works in a thread would abort it then."""
    hide_secrets()
    code = main()
    for said in (sys.stdout, sys.stderr):
        with suppress(OSError):
            said.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """0 when every frame was answered; 1 when a frame, the stream or the source failed, or nothing was answered.

    Ctrl-C and SIGTERM end the stream and print the summary; that alone is no failure.
    """
    lenient(sys.stdout, sys.stderr)
    wish = wishes(arguments)
    told = logging.StreamHandler()
    told.setFormatter(Masked("tta-camera: %(message)s"))
    logging.basicConfig(handlers=[told], level=logging.WARNING)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally, trouble = Tally(), ""
    try:
        with screen(wish.json, sys.stdout) as shown:
            try:
                _watch(wish, shown, tally)
            except KeyboardInterrupt:
                pass
            except (TTAClientError, OSError, ValueError) as error:
                trouble = str(error)
            shown.end(tally)
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall Python try at its end
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if trouble:
        print(f"tta-camera: {without_secrets(trouble)}", file=sys.stderr)
    return 1 if trouble or not tally.complete else 0


def _watch(wish: Wishes, shown: Any, tally: Tally) -> None:
    with (
        Client(wish.server) as client,
        client.stream(
            _sent(pictures(wish, tally.statistics), wish, client, tally.statistics),
            wish.labels,
            options=wish.options,
            policy=wish.policy,
            session=wish.session,
            buffer=wish.buffer,
            frame_budget=wish.frame_budget,
            paced=wish.paced,
            reconnect=wish.reconnect,
            statistics=tally.statistics,
        ) as stream,
    ):
        for result in stream:
            if new := tally.count(result):
                print(f"tta-camera: {untaught(new)}", file=sys.stderr)
            shown.show(result, tally)
            if isinstance(result, FrameFailure) and wish.strict:
                raise result.error


def pictures(wish: Wishes, statistics: Statistics) -> Iterator[Frame]:
    """Source → newest → gate → JPEG. Only a stream that may skip frames gets the newest; a blocking one gets all."""
    source = counted(wish.source, statistics)
    frames = source if source.live else paced(source, wish.fps)
    if wish.source.live:
        frames = Lasting(frames, wish.reopen, statistics) if wish.reopen else frames
        frames = frames if wish.policy == "block" else newest(frames, statistics)
    if not wish.gate.idle:
        frames = gated(frames, wish.gate, statistics)
    return encoded(first(frames, wish.frames), wish.short_side, wish.quality)


def _sent(frames: Iterator[Frame], wish: Wishes, client: Client, statistics: Statistics) -> Iterator[Frame]:
    """As features when no pixel may leave: of the very JPEGs that would have been sent, so the answers are the same."""
    frames = _in_turn(frames, wish)
    if wish.on_device is None:
        return frames
    if wish.reconnect and wish.reconnect.from_the_start:
        client.wait_until_serving(None)
    encoder = Encoder(wish.on_device, client.info())
    encoder.check(wish.strategies)
    return featured(frames, encoder.features, wish.options, statistics)


def _in_turn(frames: Iterator[Frame], wish: Wishes) -> Iterator[Frame]:
    """Several strategies take the frames in turn; a single one is the stream's."""
    if len(wish.strategies) < 2:
        return frames
    turns: Iterator[Choice] = cycle(wish.strategies)
    return (replace(frame, options=replace(wish.options, strategy=next(turns))) for frame in frames)


if __name__ == "__main__":
    command()
