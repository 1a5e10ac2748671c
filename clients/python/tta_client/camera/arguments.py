"""The command line of tta-camera, parsed and checked."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from ..channel import TLS
from ..protocol.reconnect import Reconnect
from ..types.labels import LabelSet
from ..types.options import Choice, Options, Reduction
from ..types.requests import Policy
from ..types.values import read_fields
from .access import make_tls, read_token
from .gate import Gate
from .inference import Model as InferenceModel
from .inference_options import make_inference_model
from .label_names import parse_labels
from .on_device import Model
from .outbox import find_spool_folder
from .region import Region, parse_region
from .request_options import make_options, parse_pair, parse_reducer, parse_strategies
from .saving import parse_when
from .sinks import make_sink
from .source_options import make_source_options
from .sources import Source, make_source
from .teaching import KEYS, check_terminal
from .text import make_printable, read_lines, require_utf8


@dataclass(frozen=True, slots=True)
class Arguments:
    """The checked arguments: the source and gate as objects, the rest as the stream's parameters."""

    name: str  # of the camera, in events
    source: Source
    server: str
    token: str = field(repr=False)
    tls: TLS | None
    labels: LabelSet
    strategies: tuple[Choice, ...]
    options: Options
    policy: Policy
    buffer: int | None
    session: str
    lesson_group: str
    frame_budget: float | None
    paced: bool
    frames: int
    fps: float
    region: Region
    gate: Gate
    short_side: int
    quality: int
    on_device: Model | None
    inference: InferenceModel | None  # of a server of the Open Inference Protocol
    reconnect: Reconnect | None  # to the service
    reopen: Reconnect | None  # the source
    show: bool
    show_port: int
    save: str
    save_frames: str
    when: tuple[str, ...]
    sinks: tuple[str, ...] = field(repr=False)
    spool: Path
    teach: bool
    json: bool
    strict: bool


def make_arguments(options: argparse.Namespace) -> Arguments:
    """The parsed options of one camera, checked. Raises ValueError, OSError."""
    if options.teach:
        _check_teaching(options)
    if options.ask_per_hour is not None and not options.session:
        raise ValueError("--ask-per-hour needs a --session, where the questions wait")
    source = make_source(_read_location(options.source), make_source_options(options))
    inference = _make_inference(options)
    strategies, on_device, reducer, names = ((), None, "", ()) if inference else _parse_classification(options, source)
    return read_fields(
        Arguments,
        options,
        source=source,
        token=read_token(options.token),
        tls=make_tls(options),
        when=parse_when(options.when),
        sinks=_check_sinks(options, names),
        spool=find_spool_folder(options.spool),
        labels=LabelSet(names, tuple(map(require_utf8, options.template)), options.allow_duplicates),
        strategies=strategies,
        options=make_options(options, strategies, reducer),
        policy=options.policy or ("latest" if source.live else "block"),
        paced=not options.unpaced,
        fps=0.0 if source.live else options.fps,
        region=parse_region(options.crop, options.mask),
        gate=_make_gate(options, source),
        on_device=on_device,
        inference=inference,
        reconnect=_make_reconnect(options, options.stall),
        reopen=_make_reconnect(options, options.source_stall and options.source_stall + options.interval),
    )


def _check_sinks(options: argparse.Namespace, labels: tuple[str, ...]) -> tuple[str, ...]:
    for text in options.sink:
        make_sink(text, options.name, labels)
    return tuple(options.sink)


def _parse_classification(
    options: argparse.Namespace, source: Source
) -> tuple[tuple[Choice, ...], Model | None, Reduction | str, tuple[str, ...]]:
    """Strategies, the model on this machine, the reducer and the labels, as the service's own calls have them."""
    on_device = _make_model(options)
    strategies = parse_strategies(options.strategy, options.param)
    reducer = "none" if on_device else parse_reducer(options.reducer, options.reducer_param, options.reduce)
    return strategies, on_device, reducer, parse_labels(options, source)


def _make_inference(options: argparse.Namespace) -> InferenceModel | None:
    names = parse_labels(options, None) if options.protocol == "oip" and options.labels else ()
    return make_inference_model(options, names, [parse_pair(one, "--param") for one in options.param])


def _check_teaching(options: argparse.Namespace) -> None:
    """The answers name enough labels for all keys; a strategy that learns from lessons answers unless one is named."""
    if not options.session:
        raise ValueError("--teach needs a --session, which keeps the lessons")
    check_terminal()
    options.strategy = options.strategy or "taught"
    options.top_k = max(options.top_k or 0, len(KEYS))


def _make_gate(options: argparse.Namespace, source: Source) -> Gate:
    """For a live source, --fps sets an interval of the gate: the camera keeps its rate, and frames are left out."""
    shortest = max(options.min_interval, 1 / options.fps if options.fps and source.live else 0.0)
    return Gate(options.motion, shortest, options.max_interval)


def _make_model(options: argparse.Namespace) -> Model | None:
    if not options.encode_on_device:
        if options.model or options.checkpoint:
            raise ValueError("--model and --checkpoint need --encode-on-device")
        return None
    if not options.strategy:
        raise ValueError("--encode-on-device needs a --strategy, whose views are cut on this machine")
    if options.reducer:
        raise ValueError("--encode-on-device takes no --reducer: the service reduces tokens of pictures, not features")
    return Model(options.model, options.checkpoint, options.device)


def _make_reconnect(options: argparse.Namespace, stall: float) -> Reconnect | None:
    if options.no_reconnect:
        return None
    return Reconnect(longest=options.max_pause, stall=stall, from_the_start=options.wait)


def _read_location(text: str) -> str:
    """The text, or the first line of `@FILE`, which keeps the secrets of a URL out of the list of processes."""
    if not text.startswith("@") or os.path.lexists(text):
        return text
    if lines := read_lines(text[1:]):
        return lines[0]
    raise ValueError(f"{make_printable(text[1:])} is empty; its first line must name the source of the frames")
