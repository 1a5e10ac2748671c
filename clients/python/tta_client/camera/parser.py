"""The words that tta-camera understands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from ..types.options import SCOPES
from ..types.requests import POLICIES
from .masking import without_secrets

DESCRIPTION = (
    "Pictures of a camera through the service, answers on the screen: Source → Gate → Encoder → Pacer → Stream."
)
EPILOG = """SOURCE is a folder or a glob of pictures, a video file (MP4, GIF, …), the number of a webcam, a URL
(rtsp, http, …; http://…/film.mp4 and the like are films, any other is a camera), or virtual:frames=200,fps=0,seed=1 -
a camera that pans over the real photographs which scikit-image and scikit-learn ship while day turns to dusk, noise,
fog and blur."""

Add = Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """Its mistakes are told without the secrets that stand in the command line."""

    def error(self, message: str) -> NoReturn:
        super().error(without_secrets(message))


def parser() -> argparse.ArgumentParser:
    made = Parser("tta-camera", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("source", metavar="SOURCE", help="where frames come from, see below")
    parts = {
        "what to ask": _question,
        "source": _source,
        "gate: frames that are not worth sending": _gate,
        "encoder": _encoder,
        "stream": _stream,
        "what to do when the service or the camera is lost": _reconnect,
        "output": _output,
    }
    for title, fill in parts.items():
        fill(made.add_argument_group(title).add_argument)
    return made


def _question(add: Add) -> None:
    add("--labels", default="", metavar="A,B,…|@FILE", help="what to tell apart; @FILE holds one name a line")
    about = "a name may stand for several classes, as in ImageNet's list; they are told apart by their index"
    add("--allow-duplicates", action="store_true", help=about)
    add("--template", action="append", default=[], metavar="TEXT", help="a sentence with {} for the name; repeatable")
    add("--strategy", default="", metavar="NAME[,NAME…]", help="several take the frames in turn")
    add("--param", action="append", default=[], metavar="[NAME.]K=V", help="a parameter, of one strategy or of all")
    add("--reducer", default="", metavar="NAME", help="token reduction")
    add("--reducer-param", action="append", default=[], metavar="K=V", help="a parameter of the reducer")
    add("--reduce", choices=tuple(SCOPES), default="all", help="which views to reduce (default: %(default)s)")
    add("--top-k", type=_count, metavar="K", help="scores in each answer")
    add("--seed", type=_count, metavar="S", help="of the views")


def _source(add: Add) -> None:
    add("--frames", type=_count, default=0, metavar="N", help="stop after so many frames")
    add("--fps", type=_seconds, default=0.0, metavar="F", help="at most so many frames a second")
    about = "a camera, whose frames go stale, or a film, of which all are answered (default: by the URL's ending)"
    add("--live", action=argparse.BooleanOptionalAction, help=about)
    add("--interval", type=_seconds, default=0.0, metavar="S", help="ask an http URL for a picture every S seconds")
    add("--ffmpeg", action="append", default=[], metavar="K=V", help="an option of FFmpeg, as rtsp_transport=udp")


def _gate(add: Add) -> None:
    about = "send a frame only if this share of the picture changed since the last one sent; try 0.01 (default: 0, all)"
    add("--motion", type=_seconds, default=0.0, metavar="SHARE", help=about)
    add("--min-interval", type=_seconds, default=0.0, metavar="S", help="at least so many seconds between two frames")
    add("--max-interval", type=_seconds, default=0.0, metavar="S", help="then send one though nothing moved; 0: never")


def _encoder(add: Add) -> None:
    about = "shrink to this before the JPEG is made, 0: never (default: %(default)s)"
    add("--short-side", type=_count, default=336, metavar="PIXELS", help=about)
    add("--quality", type=_count, default=90, metavar="1…100", help="of the JPEGs (default: %(default)s)")
    about = "make the view embeddings here, with the service's model, and send these: no pixel leaves this machine. "
    add("--encode-on-device", action="store_true", help=about + "Needs tta_service here, and a --strategy")
    add(
        "--model",
        default="",
        metavar="NAME[/TAG]",
        help="for that: the model (default: what the service calls its own)",
    )
    add("--checkpoint", default="", metavar="FILE", help="for that: the model's weights")
    add("--device", default="auto", metavar="NAME", help="for that: where it runs (default: %(default)s)")


def _stream(add: Add) -> None:
    add("--server", default="127.0.0.1:50051", metavar="HOST:PORT", help="the service (default: %(default)s)")
    add("--policy", choices=tuple(POLICIES), help="default: latest for live sources, block for files")
    add("--buffer", type=_count, metavar="N", help="frames that may wait in the service under drop_oldest, drop_newest")
    about = "a named session outlives this stream, and after a disconnect goes on with its memory"
    add("--session", default="", metavar="ID", help=about)
    add("--frame-budget", type=_seconds, metavar="S", help="seconds for each frame from its arrival in the service")
    add("--unpaced", action="store_true", help="send as fast as the camera gives, whatever the service has room for")


def _reconnect(add: Add) -> None:
    add("--no-reconnect", action="store_true", help="a loss is the end")
    add("--wait", action="store_true", help="be patient from the start, when neither is there yet")
    add("--max-pause", type=_seconds, default=30.0, metavar="S", help="between two attempts (default: %(default)g)")
    about = "a service that is silent for so long is dialled anew, 0: never (default: %(default)g)"
    add("--stall", type=_seconds, default=60.0, metavar="S", help=about)
    about = "a camera that is silent for so long is opened anew, 0: never (default: %(default)g)"
    add("--source-stall", type=_seconds, default=20.0, metavar="S", help=about)


def _output(add: Add) -> None:
    add("--json", action="store_true", help="one JSON object for each answer, a last one with the statistics")
    add("--strict", action="store_true", help="end at the first frame that fails")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("is negative")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError("must be a number, and not negative")
    return number
