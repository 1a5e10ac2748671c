"""What the command line of tta-camera asks for."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..choices import SCOPES, Choice, Options, Reduction
from ..labels import LabelSet
from ..requests import POLICIES, Policy
from .photographs import LABELS
from .sources import Source, open_source
from .virtual import Virtual

EPILOG = """SOURCE is a folder or a glob of pictures, a video file (MP4, GIF, …), the number of a webcam, a URL
(rtsp, http, …), or virtual:frames=200,fps=0,seed=1 - a camera that pans over the real photographs which scikit-image
and scikit-learn ship while day turns to dusk, noise, fog and blur."""


@dataclass(frozen=True, slots=True)
class Wishes:
    source: Source
    server: str
    labels: LabelSet
    strategies: tuple[Choice, ...]
    options: Options
    policy: Policy
    buffer: int | None
    session: str
    frames: int
    fps: float
    short_side: int
    quality: int
    json: bool
    strict: bool


def wishes(arguments: list[str] | None = None) -> Wishes:
    """What the command line asks for; exits with 2 and a sentence when it makes no sense."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        source = open_source(given.source)
        names = _names(given.labels, source)
        strategies = _strategies(given.strategy, given.param)
        reducer = _reducer(given.reducer, given.reducer_param, given.reduce)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    options = Options(strategies[0] if strategies else "", reducer, top_k=given.top_k, seed=given.seed)
    policy = given.policy or ("latest" if source.live else "block")
    return Wishes(
        source, given.server, LabelSet(names, tuple(given.template)), strategies, options, policy, given.buffer,
        given.session, given.frames, given.fps, given.short_side, given.quality, given.json, given.strict,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "tta-camera", description="Pictures of a camera through the service, answers on the screen.", epilog=EPILOG
    )
    add: Any = parser.add_argument
    add("source", metavar="SOURCE", help="where frames come from, see below")
    add("--server", default="127.0.0.1:50051", metavar="HOST:PORT", help="the service (default: %(default)s)")
    add("--labels", default="", metavar="A,B,…|@FILE", help="what to tell apart; @FILE holds one name a line")
    add("--template", action="append", default=[], metavar="TEXT", help="a sentence with {} for the name; repeatable")
    add("--strategy", default="", metavar="NAME[,NAME…]", help="several take the frames in turn")
    add("--param", action="append", default=[], metavar="[NAME.]K=V", help="a parameter, of one strategy or of all")
    add("--reducer", default="", metavar="NAME", help="token reduction")
    add("--reducer-param", action="append", default=[], metavar="K=V", help="a parameter of the reducer")
    add("--reduce", choices=tuple(SCOPES), default="all", help="which views to reduce (default: %(default)s)")
    add("--policy", choices=tuple(POLICIES), help="default: latest for live sources, block for files")
    add("--buffer", type=_count, metavar="N", help="frames that may wait in the service under drop_oldest, drop_newest")
    add("--session", default="", metavar="ID", help="a named session outlives this stream")
    add("--frames", type=_count, default=0, metavar="N", help="stop after so many frames")
    add("--fps", type=float, default=0.0, metavar="F", help="at most so many frames a second")
    add(
        "--short-side",
        type=_count,
        default=336,
        metavar="PIXELS",
        help="shrink to this, 0: never (default: %(default)s)",
    )
    add("--quality", type=_count, default=90, metavar="1…100", help="of the JPEGs (default: %(default)s)")
    add("--top-k", type=_count, metavar="K", help="scores in each answer")
    add("--seed", type=_count, metavar="S", help="of the views")
    add("--json", action="store_true", help="one JSON object for each answer")
    add("--strict", action="store_true", help="end at the first frame that fails")
    return parser


def _names(text: str, source: Source) -> tuple[str, ...]:
    if text.startswith("@"):
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if not text and isinstance(source, Virtual):
        return LABELS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
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


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("is negative")
    return number
