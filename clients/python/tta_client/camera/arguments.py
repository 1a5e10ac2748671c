"""What the command line of tta-camera asks for."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from typing import Any

from ..protocol.backoff import Reconnect
from ..types.labels import LabelSet
from ..types.options import Choice, Options, Reduction
from ..types.requests import Policy
from .gate import Gate
from .on_device import Model
from .parser import parser
from .photographs import LABELS
from .sources import Source, open_source
from .text import lines_of, printable, utf8
from .virtual import Virtual


@dataclass(frozen=True, slots=True)
class Arguments:
    source: Source
    server: str
    labels: LabelSet
    strategies: tuple[Choice, ...]
    options: Options
    policy: Policy
    buffer: int | None
    session: str
    frame_budget: float | None
    paced: bool
    frames: int
    fps: float
    gate: Gate
    short_side: int
    quality: int
    on_device: Model | None
    reconnect: Reconnect | None  # to the service
    reopen: Reconnect | None  # the source
    json: bool
    strict: bool


def parse_arguments(arguments: list[str] | None = None) -> Arguments:
    """What the command line asks for; exits with 2 and a sentence when it makes no sense."""
    arguments_parser = parser()
    given = arguments_parser.parse_args(arguments)
    try:
        return _make_arguments(given)
    except (ValueError, OSError) as error:
        arguments_parser.error(str(error))


def _make_arguments(given: argparse.Namespace) -> Arguments:
    ffmpeg = {key: str(value) for key, value in map(_pair, given.ffmpeg)}
    source = open_source(_location(given.source), ffmpeg, live=given.live, interval=given.interval)
    strategies = _strategies(given.strategy, given.param)
    on_device = _on_device(given)
    reducer = "none" if on_device else _reducer(given.reducer, given.reducer_param, given.reduce)
    return Arguments(
        source=source,
        server=given.server,
        labels=LabelSet(_names(given.labels, source), tuple(map(utf8, given.template)), given.allow_duplicates),
        strategies=strategies,
        options=Options(strategies[0] if strategies else "", reducer, top_k=given.top_k, seed=given.seed),
        policy=given.policy or ("latest" if source.live else "block"),
        buffer=given.buffer,
        session=given.session,
        frame_budget=given.frame_budget,
        paced=not given.unpaced,
        frames=given.frames,
        fps=0.0 if source.live else given.fps,
        gate=_gate(given, source),
        short_side=given.short_side,
        quality=given.quality,
        on_device=on_device,
        reconnect=_reconnect(given, given.stall),
        reopen=_reconnect(given, given.source_stall and given.source_stall + given.interval),
        json=given.json,
        strict=given.strict,
    )


def _gate(given: argparse.Namespace, source: Source) -> Gate:
    """A live source's own rate is not for us to slow down: frames in between are left out."""
    shortest = max(given.min_interval, 1 / given.fps if given.fps and source.live else 0.0)
    return Gate(given.motion, shortest, given.max_interval)


def _on_device(given: argparse.Namespace) -> Model | None:
    if not given.encode_on_device:
        if given.model or given.checkpoint:
            raise ValueError("--model and --checkpoint are for --encode-on-device")
        return None
    if not given.strategy:
        raise ValueError("--encode-on-device needs a --strategy: it is here that its views are cut")
    if given.reducer:
        raise ValueError("--encode-on-device takes no --reducer: features have no tokens left to reduce")
    return Model(given.model, given.checkpoint, given.device)


def _reconnect(given: argparse.Namespace, stall: float) -> Reconnect | None:
    if given.no_reconnect:
        return None
    return Reconnect(longest=given.max_pause, stall=stall, from_the_start=given.wait)


def _location(text: str) -> str:
    """Of `@FILE` its first line: a URL that stands in a file is in no list of processes."""
    if not text.startswith("@") or os.path.lexists(text):
        return text
    if lines := lines_of(text[1:]):
        return lines[0]
    raise ValueError(f"{printable(text[1:])} is empty; its first line is to say where frames come from")


def _names(text: str, source: Source) -> tuple[str, ...]:
    try:
        words = lines_of(text[1:]) if text.startswith("@") else utf8(text).split(",")
    except ValueError as error:
        raise ValueError(f"--labels: {error}") from error
    names = tuple(word.strip() for word in words if word.strip())
    if not text and isinstance(source, Virtual):
        return LABELS
    if not names:
        raise ValueError("--labels is needed: names with commas between them, or @FILE with one a line")
    return names


def _strategies(text: str, parameters: list[str]) -> tuple[Choice, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    pairs = [_pair(parameter) for parameter in parameters]
    for key, _ in pairs:
        if not names or ("." in key and key.split(".")[0] not in names):
            raise ValueError(f"--param {key} belongs to no --strategy")
    return tuple(
        Choice(
            name, {key.split(".")[-1]: value for key, value in pairs if "." not in key or key.startswith(f"{name}.")}
        )
        for name in names
    )


def _reducer(name: str, parameters: list[str], scope: Any) -> Reduction | str:
    if not name and parameters:
        raise ValueError("--reducer-param needs a --reducer")
    return Reduction(Choice(name, dict(map(_pair, parameters))), scope) if name else ""


def _pair(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValueError(f"{text!r} is not K=V")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
