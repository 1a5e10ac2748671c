"""The options of tta-camera from a frame's sending on, in groups; those before are in `parser`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..types.requests import POLICIES
from .completion import SHELLS, ShowCompletion

Add = Callable[..., Any]


def add_on_device(add: Add) -> None:
    """Options of encoding on this machine."""
    about = "compute the view embeddings here and send them instead of pictures; needs a --strategy, and either a "
    about += "--checkpoint FILE.onnx of tta-service export-edge or the package tta_service"
    add("--encode-on-device", action="store_true", help=about)
    about = "the model to load (default: the service's); with --protocol oip the one to ask"
    add("--model", default="", metavar="NAME[/TAG]", help=about)
    add("--checkpoint", default="", metavar="FILE", help="the model's weights; FILE.onnx: all of it")
    add("--device", default="auto", metavar="NAME", help="the device to run it on (default: %(default)s)")


def add_protocol(add: Add) -> None:
    """Options of other protocols."""
    about = "oip asks the --model of any server of the Open Inference Protocol (Triton, KServe, …), a call for each "
    about += "frame, --buffer of them under way at once (default: 2; with a --session, which is a sequence, 1); "
    add("--protocol", choices=("tta", "oip"), default="tta", help=about + "--param are then parameters of the request")
    about = "the input that takes pictures: files, or pixels as UINT8 or as FP32 from 0 to 1 (default: the first)"
    add("--input", default="", metavar="NAME", help=about)


def add_access(add: Add) -> None:
    """Options that say who calls."""
    about = "encrypt the connection; --ca, --cert and --key do so too"
    add("--tls", action="store_true", help=about)
    add("--ca", metavar="FILE", help="the authority of the service's certificate (default: those that gRPC knows)")
    add("--cert", metavar="FILE", help="a client certificate, which says who calls; needs --key")
    add("--key", metavar="FILE", help="the key of --cert")
    about = (
        "an API key, which says who calls; @FILE holds it in its first line, and keeps it out of the list of processes"
    )
    add("--token", default="", metavar="KEY|@FILE", help=about)


def add_stream(add: Add) -> None:
    """Options of the stream."""
    add("--server", default="127.0.0.1:50051", metavar="HOST:PORT", help="the service (default: %(default)s)")
    about = "what to do with frames that arrive faster than answers (default: latest for live sources, else block)"
    add("--policy", choices=tuple(POLICIES), help=about)
    about = "frames that may wait in the service, for drop_oldest and drop_newest"
    add("--buffer", type=parse_count, metavar="N", help=about)
    about = "name the session: it outlives the stream, and keeps its memory after a disconnect"
    add("--session", default="", metavar="ID", help=about)
    about = "the group with whose other sessions this one shares its lessons"
    add("--lesson-group", default="", metavar="ID", help=about)
    about = "the seconds that the service may take for a frame, from its arrival there"
    add("--frame-budget", type=parse_number, metavar="S", help=about)
    add("--unpaced", action="store_true", help="send every frame at once, whatever the service has room for")


def add_teaching(add: Add) -> None:
    """Options of lessons and questions."""
    about = "correct the last answer with the keys 1 to 9 of this terminal (0: none of these, u: undo); of more than "
    about += "nine labels the keys are those of the answer's best; needs a --session, and means --strategy taught "
    add("--teach", action="store_true", help=about + "unless one is named")
    about = "let the service ask about at most N frames an hour, those whose answers teach it most; needs a --session"
    add("--ask-per-hour", type=parse_number, metavar="N", help=about)


def add_reconnect(add: Add) -> None:
    """Options of reconnecting."""
    add("--no-reconnect", action="store_true", help="end when the service or the camera is lost")
    add("--wait", action="store_true", help="wait for the service and the camera also at the start")
    about = "the longest pause between two attempts (default: %(default)g)"
    add("--max-pause", type=parse_number, default=30.0, metavar="S", help=about)
    about = "connect again to a service that is silent for S seconds; 0: never (default: %(default)g)"
    add("--stall", type=parse_number, default=60.0, metavar="S", help=about)
    about = "open a camera again that is silent for S seconds; 0: never (default: %(default)g)"
    add("--source-stall", type=parse_number, default=20.0, metavar="S", help=about)


def add_output(add: Add) -> None:
    """Options of what is printed."""
    add("--json", action="store_true", help="print one JSON object for each answer, and a last one with the summary")
    add("--strict", action="store_true", help="end at the first frame that fails")
    about = 'print what makes a shell complete words, and exit; for bash: eval "$(tta-camera --show-completion bash)"'
    add("--show-completion", action=ShowCompletion, choices=SHELLS, help=about)


def add_seeing(add: Add) -> None:
    """Options of pictures with their answers."""
    about = "show the frames with their answers on a page of this machine, and open it"
    add("--show", action="store_true", help=about)
    add("--show-port", type=parse_port, default=0, metavar="N", help="the port of the page (default: a free one)")
    about = "write the frames that are answered, with their answers and at their own times, to an MP4"
    add("--save", default="", metavar="FILE", help=about)
    about = "keep pictures there, in a folder for each label, with a JSON beside each"
    add("--save-frames", default="", metavar="DIR", help=about)
    about = "which pictures to keep, of changed, deferred, asked and all (default: %(default)s)"
    add("--when", default="changed", metavar="A,B,…", help=about)


def add_sinks(add: Add) -> None:
    """Options of events."""
    about = "send events there, each at least once; repeatable: jsonl:FILE, csv:FILE, webhook:URL#secret=…, "
    about += "mqtt://[USER:PASSWORD@]HOST/PREFIX (with Home Assistant's discovery), modbus:HOST[:PORT]#first=0, a coil "
    add("--sink", action="append", default=[], metavar="KIND:…", help=about + "for each label")
    about = "what events and topics call the camera (default: its session, or the end of SOURCE)"
    add("--name", default="", metavar="NAME", help=about)
    about = "the folder where events wait for a sink that is away (default: tta-camera in the user's state)"
    add("--spool", default="", metavar="DIR", help=about)


def parse_count(text: str) -> int:
    """A whole number that is not negative."""
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number, and not negative")
    return int(text)


def parse_port(text: str) -> int:
    """A port; 0 stands for a free one."""
    if (port := parse_count(text)) > 65535:
        raise argparse.ArgumentTypeError("must be at most 65535")
    return port


def parse_number(text: str) -> float:
    """A finite number that is not negative."""
    with suppress(ValueError):
        if 0 <= (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError("must be a number, and not negative")
