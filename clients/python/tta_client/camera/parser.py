"""The options of tta-camera, in groups."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ..types.confidence import CALIBRATE
from ..types.options import SCOPES
from .masking import mask_secrets
from .parser_groups import (
    Add,
    add_access,
    add_on_device,
    add_output,
    add_protocol,
    add_reconnect,
    add_seeing,
    add_sinks,
    add_stream,
    add_teaching,
    parse_count,
    parse_number,
)
from .webcam import FORMATS

USAGE = "%(prog)s SOURCE… --labels A,B,… [--server HOST:PORT] [--strategy NAME] [option …]"
DESCRIPTION = "Sends the frames of cameras, videos or folders to the service, and prints the answers."
EPILOG = """sources:
  SOURCE is a folder or a glob of pictures, a video file (MP4, GIF, …), the number of a webcam, device:NAME with a part
  of its name, a URL (rtsp, http, …), - for JPEGs on standard input, @FILE with one of these in its first line, or
  virtual:frames=200,fps=0,seed=1, a simulated camera over the photographs of scikit-image and scikit-learn. An http URL
  that ends like a video file, as in http://…/clip.mp4, is a recording; any other URL is a camera.

examples:
  tta-camera 0 --labels cat,dog,bird --strategy tda --session desk --show
  tta-camera rtsp://gate/1 --labels @names.txt --strategy tda --session gate --fps 2 --smooth 5 --sink mqtt://broker/tta
  tta-camera walk.mp4 --labels @names.txt --strategy mta --save out.mp4
  tta-camera shots/ --watch --labels good,scratched --strategy taught --session belt --save-frames found --when deferred
  tta-camera --sources cameras.toml --labels person,parcel --json"""


class Parser(argparse.ArgumentParser):
    """Masks secrets of the command line in its error messages."""

    def error(self, message: str) -> NoReturn:
        super().error(mask_secrets(message))


def build_parser(kind: type[Parser] = Parser) -> argparse.ArgumentParser:
    """The parser of tta-camera, whose help shows one group for each step of a frame."""
    form = argparse.RawDescriptionHelpFormatter
    parser = kind("tta-camera", usage=USAGE, description=DESCRIPTION, epilog=EPILOG, formatter_class=form)
    about = "where frames come from, see below; several run side by side, each with a memory of its own"
    parser.add_argument("source", metavar="SOURCE", nargs="*", help=about)
    groups = {
        "classification": _add_classification,
        "confidence: when an answer is trusted": _add_confidence,
        "source": _add_source,
        "gate: hold back frames that show nothing new": _add_gate,
        "pictures": _add_pictures,
        "encoding on this machine: no pixel leaves it": add_on_device,
        "another protocol": add_protocol,
        "access": add_access,
        "stream": add_stream,
        "teaching": add_teaching,
        "reconnecting to the service and the camera": add_reconnect,
        "output": add_output,
        "seeing: pictures with their answers": add_seeing,
        "acting on events: changed, deferred, none_of_these, lost, back": add_sinks,
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
    add("--top-k", type=parse_count, metavar="K", help="the number of labels with scores in each answer")
    add("--seed", type=parse_count, metavar="S", help="the seed of the random views")


def _add_confidence(add: Add) -> None:
    about = "what makes the confidence (default: none, the score)"
    add("--calibrate", choices=tuple(CALIBRATE), default="", help=about)
    about = "defer answers of less confidence, 0 to 1, to a person"
    add("--defer-below", type=parse_number, metavar="P", help=about)
    about = "also tell the labels of which one is right this often, and defer when they are several"
    add("--coverage", type=parse_number, metavar="P", help=about)
    about = "an image whose cosine to all labels is less shows none of them"
    add("--none-below", type=parse_number, metavar="C", help=about)
    about = "tell a stable label, by the confidences of the last N answers; events are then about it"
    add("--smooth", type=parse_count, metavar="N", help=about)


def _add_source(add: Add) -> None:
    about = (
        "cameras as tables [[camera]] with name, url and these options, such as labels and motion; cameras that are "
    )
    add("--sources", metavar="FILE", help=about + "added, changed or removed while it runs begin anew or end")
    add("--frames", type=parse_count, default=0, metavar="N", help="stop after N frames (default: 0, no limit)")
    add("--fps", type=parse_number, default=0.0, metavar="F", help="at most F frames a second (default: 0, no limit)")
    about = "treat the video or URL as a camera, whose old frames may be skipped, or as a recording, whose frames are "
    add("--live", action=argparse.BooleanOptionalAction, help=about + "all answered (default: decided by its name)")
    add(
        "--interval",
        type=parse_number,
        default=0.0,
        metavar="S",
        help="request a picture from an http URL every S seconds",
    )
    about = "wait for more pictures in the folder, and answer those that come"
    add("--watch", action="store_true", help=about)
    about = "of a webcam: its resolution, its frames a second, and its pixel format (default: mjpeg)"
    add("--resolution", default="", metavar="WxH", help=about)
    add("--device-fps", type=parse_number, default=0.0, metavar="F", help="see --resolution")
    add("--pixel-format", choices=tuple(FORMATS), default="mjpeg", help="see --resolution")
    about = "what carries RTSP (default: tcp)"
    add("--rtsp-transport", choices=("tcp", "udp", "http"), default="", help=about)
    about = "decode videos on a device that FFmpeg knows, such as cuda, vaapi or videotoolbox; auto: on any"
    add("--decoder", default="", metavar="NAME", help=about)
    about = "look at this part of the frame alone, as shares of it from 0 to 1"
    add("--crop", default="", metavar="LEFT,TOP,WIDTH,HEIGHT", help=about)
    about = "cover what is outside this polygon, whose corners are shares of the uncropped frame"
    add("--mask", default="", metavar='"X,Y X,Y X,Y …"', help=about)
    about = "an option of FFmpeg, such as buffer_size=1000000; repeatable"
    add("--ffmpeg", action="append", default=[], metavar="K=V", help=about)


def _add_gate(add: Add) -> None:
    about = "send a frame only if this share of the picture, 0 to 1, has changed since the last one sent; try 0.01 "
    add("--motion", type=parse_number, default=0.0, metavar="SHARE", help=about + "(default: 0, send all)")
    add("--min-interval", type=parse_number, default=0.0, metavar="S", help="at least S seconds between two frames")
    about = "after S seconds send a frame although nothing moved (default: 0, never)"
    add("--max-interval", type=parse_number, default=0.0, metavar="S", help=about)


def _add_pictures(add: Add) -> None:
    about = "shrink the shorter side to this before encoding; 0: never (default: %(default)s)"
    add("--short-side", type=parse_count, default=336, metavar="PIXELS", help=about)
    add(
        "--quality",
        type=parse_count,
        default=90,
        metavar="1…100",
        help="the quality of the JPEGs (default: %(default)s)",
    )
