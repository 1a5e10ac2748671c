"""tta-camera: sends the frames of a camera to the service and prints the answers."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import NoReturn

from ..errors import TTAClientError
from ..statistics import Statistics
from ..sync.client import Client
from ..sync.stream import Stream
from ..types.answers import FrameFailure
from ..types.frames import Frame
from ..types.options import Choice
from .arguments import Arguments, parse_arguments
from .gate import apply_gate, limit_count, limit_rate
from .inference import InferenceServer, infer_frames
from .latest_frame import keep_latest
from .masking import MaskingFormatter, hide_secrets, mask_secrets
from .on_device import Encoder, encode_frames
from .pictures import encode_jpegs
from .reopening import ReopeningSource
from .results import Result, ResultCounter
from .screens import Lines, Table, describe_unseen, open_screen
from .sources import attach_statistics
from .teaching import Teacher, read_keys
from .text import replace_unencodable


def command() -> NoReturn:
    """The entry point. It skips the interpreter's shutdown, which aborts while a codec still works in a thread."""
    hide_secrets()
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(words: list[str] | None = None) -> int:
    """0 when every frame was answered; 1 when a frame, the stream or the source failed, or nothing was answered.

    Ctrl-C and SIGTERM end the stream and print the summary; they are no failure. `words` replace those of `sys.argv`.
    """
    replace_unencodable(sys.stdout, sys.stderr)
    arguments = parse_arguments(words)
    handler = logging.StreamHandler()
    handler.setFormatter(MaskingFormatter("tta-camera: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    counter, failure = ResultCounter(), ""
    try:
        with open_screen(arguments.json, sys.stdout) as screen:
            try:
                _run(arguments, screen, counter)
            except KeyboardInterrupt:
                pass
            except (TTAClientError, OSError, ValueError) as error:
                failure = str(error)
            screen.end(counter)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush must not fail again
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    if failure:
        print(f"tta-camera: {mask_secrets(failure)}", file=sys.stderr)
    return 1 if failure or not counter.complete else 0


def _run(arguments: Arguments, screen: Lines | Table, counter: ResultCounter) -> None:
    if arguments.inference is None:
        return _run_stream(arguments, screen, counter)
    server = InferenceServer(arguments.server, arguments.inference, arguments.token, arguments.tls)
    for result in infer_frames(prepare_frames(arguments, counter.statistics), server, counter.statistics):
        _show(result, arguments, screen, counter)
    return None


def _show(result: Result, arguments: Arguments, screen: Lines | Table, counter: ResultCounter) -> None:
    if new := counter.count(result):
        print(f"tta-camera: {describe_unseen(new)}", file=sys.stderr)
    screen.show(result, counter)
    if isinstance(result, FrameFailure) and arguments.strict:
        raise result.error


def _run_stream(arguments: Arguments, screen: Lines | Table, counter: ResultCounter) -> None:
    with (
        Client(arguments.server, token=arguments.token, tls=arguments.tls) as client,
        client.stream(
            _make_features(prepare_frames(arguments, counter.statistics), arguments, client, counter.statistics),
            arguments.labels,
            options=arguments.options,
            policy=arguments.policy,
            session=arguments.session,
            buffer=arguments.buffer,
            frame_budget=arguments.frame_budget,
            paced=arguments.paced,
            reconnect=arguments.reconnect,
            statistics=counter.statistics,
        ) as stream,
    ):
        for result in _taught(stream, arguments, client, screen, counter):
            _show(result, arguments, screen, counter)


def _taught(
    stream: Stream, arguments: Arguments, client: Client, screen: Lines | Table, counter: ResultCounter
) -> Iterator[Result]:
    """The results of the stream, which keys correct with --teach."""
    if not arguments.teach:
        yield from stream
        return
    teacher = Teacher(arguments.labels.names, stream, partial(client.unlearn, arguments.session))
    if isinstance(screen, Table):
        screen.notes = teacher.lines
    teacher.report = partial(_report, screen, counter)
    with read_keys(teacher.press):
        for result in stream:
            teacher.see(result)
            yield result


def _report(screen: Lines | Table, counter: ResultCounter, sentence: str) -> None:
    if isinstance(screen, Table):
        screen.refresh(counter)
    else:
        print(f"tta-camera: {sentence}", file=sys.stderr)


def prepare_frames(arguments: Arguments, statistics: Statistics) -> Iterator[Frame]:
    """Source → latest frame → gate → JPEG. A live source keeps only its latest frame, unless the policy is "block"."""
    source = attach_statistics(arguments.source, statistics)
    frames = source if source.live else limit_rate(source, arguments.fps)
    if source.live:
        frames = ReopeningSource(frames, arguments.reopen, statistics) if arguments.reopen else frames
        frames = frames if arguments.policy == "block" else keep_latest(frames, statistics)
    if not arguments.gate.idle:
        frames = apply_gate(frames, arguments.gate, statistics)
    return encode_jpegs(limit_count(frames, arguments.frames), arguments.short_side, arguments.quality)


def _make_features(
    frames: Iterator[Frame], arguments: Arguments, client: Client, statistics: Statistics
) -> Iterator[Frame]:
    """The frames as features with --encode-on-device, as they are without.

    The features are made of the same JPEGs that would have been sent, so the answers are the same.
    """
    frames = _assign_strategies(frames, arguments)
    if arguments.on_device is None:
        return frames
    if arguments.reconnect and arguments.reconnect.from_the_start:
        client.wait_until_serving(None)
    encoder = Encoder(arguments.on_device, client.info())
    encoder.check(arguments.strategies)
    return encode_frames(frames, encoder.features, arguments.options, statistics)


def _assign_strategies(frames: Iterator[Frame], arguments: Arguments) -> Iterator[Frame]:
    """Several strategies take the frames in turn; a single one is an option of the stream."""
    if len(arguments.strategies) < 2:
        return frames
    strategies: Iterator[Choice] = cycle(arguments.strategies)
    return (replace(frame, options=replace(arguments.options, strategy=next(strategies))) for frame in frames)


if __name__ == "__main__":
    command()
