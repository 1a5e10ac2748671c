"""The options of tta-camera, in groups."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ..types.options import SCOPES
from ..types.requests import POLICIES
from .masking import mask_secrets

USAGE = "%(prog)s SOURCE… --labels A,B,… [--server HOST:PORT] [--strategy NAME] [option …]"
DESCRIPTION = "Sends the frames of cameras, videos or folders to the service, and prints the answers."
EPILOG = """SOURCE is a folder or a glob of pictures, a video file (MP4, GIF, …), the number of a webcam, a URL
(rtsp, http, …), @FILE with one of these in its first line, or virtual:frames=200,fps=0,seed=1, a simulated camera over
the photographs of scikit-image and scikit-learn. An http URL that ends like a video file, as in http://…/clip.mp4, is a
recording; any other URL is a camera."""

Add = Callable[..., Any]


class Parser(argparse.ArgumentParser):
    """Masks secrets of the command line in its error messages."""

    def error(self, message: str) -> NoReturn:
        super().error(mask_secrets(message))


def build_parser(kind: type[Parser] = Parser) -> argparse.ArgumentParser:
    """The parser of tta-camera, whose help shows one group for each step of a frame."""
    parser = kind("tta-camera", usage=USAGE, description=DESCRIPTION, epilog=EPILOG)
    about = "where frames come from, see below; several run side by side, each with a memory of its own"
    parser.add_argument("source", metavar="SOURCE", nargs="*", help=about)
    groups = {
        "classification": _add_classification,
        "source": _add_source,
        "gate: hold back frames that show nothing new": _add_gate,
        "pictures": _add_pictures,
        "encoding on this machine: no pixel leaves it": _add_on_device,
        "another protocol": _add_protocol,
        "access": _add_access,
        "stream": _add_stream,
        "teaching": _add_teaching,
        "reconnecting to the service and the camera": _add_reconnect,
        "output": _add_output,
    }
    for title, add_options in groups.items():
        add_options(parser.add_argument_group(title).add_argument)
    return parser


def _add_classification(add: Add) -> None:
    add("--labels", default="", metavar="A,B,…|@FILE", help="the names to choose from; @FILE holds one name a line")
    about = "let a name stand for several classes, as in ImageNet's list; their index tells them apart"
    add("--allow-duplicates", action="store_true", help=about)
    about = "a prompt with {} in place of the name; repeat it for several, whose mean counts"
    add("--template", "--templates", action="append", default=[], metavar="TEXT", help=about)
    about = "how the service adapts; several strategies take the frames in turn"
    add("--strategy", default="", metavar="NAME[,NAME…]", help=about)
    about = "a parameter of the strategy NAME, or of all; repeatable"
    add("--param", action="append", default=[], metavar="[NAME.]K=V", help=about)
    add("--reducer", default="", metavar="NAME", help="the token reduction of the image encoder")
    add("--reducer-param", action="append", default=[], metavar="K=V", help="a parameter of the reducer; repeatable")
    add("--reduce", choices=tuple(SCOPES), default="all", help="the views to reduce (default: %(default)s)")
    add("--top-k", type=_count, metavar="K", help="the number of labels with scores in each answer")
    add("--seed", type=_count, metavar="S", help="the seed of the random views")


def _add_source(add: Add) -> None:
    about = (
        "cameras as tables [[camera]] with name, url and these options, such as labels and motion; cameras that are "
    )
    add("--sources", metavar="FILE", help=about + "added, changed or removed while it runs begin anew or end")
    add("--frames", type=_count, default=0, metavar="N", help="stop after N frames (default: 0, no limit)")
    add("--fps", type=_number, default=0.0, metavar="F", help="at most F frames a second (default: 0, no limit)")
    about = "treat the video or URL as a camera, whose old frames may be skipped, or as a recording, whose frames are "
    add("--live", action=argparse.BooleanOptionalAction, help=about + "all answered (default: decided by its name)")
    add("--interval", type=_number, default=0.0, metavar="S", help="request a picture from an http URL every S seconds")
    about = "an option of FFmpeg, such as rtsp_transport=udp; repeatable"
    add("--ffmpeg", action="append", default=[], metavar="K=V", help=about)


def _add_gate(add: Add) -> None:
    about = "send a frame only if this share of the picture, 0 to 1, has changed since the last one sent; try 0.01 "
    add("--motion", type=_number, default=0.0, metavar="SHARE", help=about + "(default: 0, send all)")
    add("--min-interval", type=_number, default=0.0, metavar="S", help="at least S seconds between two frames")
    about = "after S seconds send a frame although nothing moved (default: 0, never)"
    add("--max-interval", type=_number, default=0.0, metavar="S", help=about)


def _add_pictures(add: Add) -> None:
    about = "shrink the shorter side to this before encoding; 0: never (default: %(default)s)"
    add("--short-side", type=_count, default=336, metavar="PIXELS", help=about)
    add("--quality", type=_count, default=90, metavar="1…100", help="the quality of the JPEGs (default: %(default)s)")


def _add_on_device(add: Add) -> None:
    about = "compute the view embeddings here and send them instead of pictures; needs the package tta_service and "
    add("--encode-on-device", action="store_true", help=about + "a --strategy")
    about = "the model to load (default: the service's); with --protocol oip the one to ask"
    add("--model", default="", metavar="NAME[/TAG]", help=about)
    add("--checkpoint", default="", metavar="FILE", help="the model's weights")
    add("--device", default="auto", metavar="NAME", help="the device to run it on (default: %(default)s)")


def _add_protocol(add: Add) -> None:
    about = "oip asks the --model of any server of the Open Inference Protocol (Triton, KServe, …), a call for each "
    about += "frame, --buffer of them under way at once (default: 2; with a --session, which is a sequence, 1); "
    add("--protocol", choices=("tta", "oip"), default="tta", help=about + "--param are then parameters of the request")
    about = "the input that takes pictures: files, or pixels as UINT8 or as FP32 from 0 to 1 (default: the first)"
    add("--input", default="", metavar="NAME", help=about)


def _add_access(add: Add) -> None:
    about = "encrypt the connection; --ca, --cert and --key do so too"
    add("--tls", action="store_true", help=about)
    add("--ca", metavar="FILE", help="the authority of the service's certificate (default: those that gRPC knows)")
    add("--cert", metavar="FILE", help="a client certificate, which says who calls; needs --key")
    add("--key", metavar="FILE", help="the key of --cert")
    about = (
        "an API key, which says who calls; @FILE holds it in its first line, and keeps it out of the list of processes"
    )
    add("--token", default="", metavar="KEY|@FILE", help=about)


def _add_stream(add: Add) -> None:
    add("--server", default="127.0.0.1:50051", metavar="HOST:PORT", help="the service (default: %(default)s)")
    about = "what to do with frames that arrive faster than answers (default: latest for live sources, else block)"
    add("--policy", choices=tuple(POLICIES), help=about)
    about = "frames that may wait in the service, for drop_oldest and drop_newest"
    add("--buffer", type=_count, metavar="N", help=about)
    about = "name the session: it outlives the stream, and keeps its memory after a disconnect"
    add("--session", default="", metavar="ID", help=about)
    about = "the group with whose other sessions this one shares its lessons"
    add("--lesson-group", default="", metavar="ID", help=about)
    about = "the seconds that the service may take for a frame, from its arrival there"
    add("--frame-budget", type=_number, metavar="S", help=about)
    add("--unpaced", action="store_true", help="send every frame at once, whatever the service has room for")


def _add_teaching(add: Add) -> None:
    about = "correct the last answer with the keys 1 to 9 of this terminal (0: none of these, u: undo); of more than "
    about += "nine labels the keys are those of the answer's best; needs a --session, and means --strategy taught "
    add("--teach", action="store_true", help=about + "unless one is named")
    about = "let the service ask about at most N frames an hour, those whose answers teach it most; needs a --session"
    add("--ask-per-hour", type=_number, metavar="N", help=about)


def _add_reconnect(add: Add) -> None:
    add("--no-reconnect", action="store_true", help="end when the service or the camera is lost")
    add("--wait", action="store_true", help="wait for the service and the camera also at the start")
    about = "the longest pause between two attempts (default: %(default)g)"
    add("--max-pause", type=_number, default=30.0, metavar="S", help=about)
    about = "connect again to a service that is silent for S seconds; 0: never (default: %(default)g)"
    add("--stall", type=_number, default=60.0, metavar="S", help=about)
    about = "open a camera again that is silent for S seconds; 0: never (default: %(default)g)"
    add("--source-stall", type=_number, default=20.0, metavar="S", help=about)


def _add_output(add: Add) -> None:
    add("--json", action="store_true", help="print one JSON object for each answer, and a last one with the summary")
    add("--strict", action="store_true", help="end at the first frame that fails")


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number, and not negative")
    return int(text)


def _number(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError("must be a number, and not negative")
