"""The options of sources, as the command line gives them."""

from __future__ import annotations

import argparse
import re

from .request_options import split_pair
from .sources import SourceOptions
from .webcam import Mode


def make_source_options(options: argparse.Namespace) -> SourceOptions:
    """How the source is opened. Raises ValueError."""
    ffmpeg = {"rtsp_transport": options.rtsp_transport} if options.rtsp_transport else {}
    ffmpeg |= dict(split_pair(option, "--ffmpeg") for option in options.ffmpeg)
    width, height = _read_resolution(options.resolution)
    mode = Mode(width, height, options.device_fps, options.pixel_format)
    return SourceOptions(ffmpeg, options.live, options.interval, options.watch, options.decoder, mode)


def _read_resolution(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    if not (found := re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)) or "0" in found.groups():
        raise ValueError(f"--resolution is WIDTHxHEIGHT, such as 1280x720, not {text!r}")
    return int(found[1]), int(found[2])
