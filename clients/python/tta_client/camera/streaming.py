"""From a camera's source to its stream of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle

from ..statistics import Statistics
from ..sync.client import Client
from ..sync.stream import Stream
from ..types.frames import Frame
from ..types.options import Choice
from .arguments import Arguments
from .edge import EdgeEncoder
from .gate import apply_gate, limit_count, limit_rate
from .latest_frame import keep_latest
from .on_device import Encoder, encode_frames
from .pictures import encode_jpegs
from .region import apply_region
from .reopening import ReopeningSource
from .sources import attach_statistics


def open_stream(client: Client, arguments: Arguments, frames: Iterator[Frame], statistics: Statistics) -> Stream:
    """The stream of the prepared frames, as the arguments want it."""
    return client.stream(
        _make_features(frames, arguments, client, statistics),
        arguments.labels,
        options=arguments.options,
        policy=arguments.policy,
        session=arguments.session,
        lesson_group=arguments.lesson_group,
        buffer=arguments.buffer,
        frame_budget=arguments.frame_budget,
        paced=arguments.paced,
        reconnect=arguments.reconnect,
        statistics=statistics,
    )


def prepare_frames(
    arguments: Arguments, statistics: Statistics, keep: Callable[[Iterator[Frame]], Iterator[Frame]]
) -> Iterator[Frame]:
    """Source → latest frame → region → gate → `keep` → JPEG. A live source keeps its latest frame, unless it may block.

    `keep` returns the frames that it is given, and may keep them as they are before they become JPEGs.
    """
    source = attach_statistics(arguments.source, statistics)
    frames = source if source.live else limit_rate(source, arguments.fps)
    if source.live:
        frames = ReopeningSource(frames, arguments.reopen, statistics) if arguments.reopen else frames
        frames = frames if arguments.policy == "block" else keep_latest(frames, statistics)
    if arguments.region:
        frames = apply_region(frames, arguments.region)
    if not arguments.gate.idle:
        frames = apply_gate(frames, arguments.gate, statistics)
    return encode_jpegs(keep(limit_count(frames, arguments.frames)), arguments.short_side, arguments.quality)


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
    file = arguments.on_device.checkpoint
    encoder = (
        EdgeEncoder(file, client.info()) if file.endswith(".onnx") else Encoder(arguments.on_device, client.info())
    )
    encoder.check(arguments.strategies)
    return encode_frames(frames, encoder.features, arguments.options, statistics)


def _assign_strategies(frames: Iterator[Frame], arguments: Arguments) -> Iterator[Frame]:
    """Several strategies take the frames in turn; a single one is an option of the stream."""
    if len(arguments.strategies) < 2:
        return frames
    strategies: Iterator[Choice] = cycle(arguments.strategies)
    return (replace(frame, options=replace(arguments.options, strategy=next(strategies))) for frame in frames)
