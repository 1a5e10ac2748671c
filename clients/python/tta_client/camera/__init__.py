"""The camera side: sources of frames, the steps before a frame is sent, and the command `tta-camera`.

The steps are source → gate → encoder → pacer → stream; every step except the stream is optional. A source can be
iterated again, which opens its device again. `live` says whether its frames go stale: those of a webcam do, those of a
file do not.
"""

from .folder import Folder
from .gate import Gate, apply_gate
from .jpeg import encode_jpegs
from .latest_frame import keep_latest
from .reopening import ReopeningSource
from .sources import Source, open_source
from .virtual import Virtual

Lasting, gated, encoded, newest = ReopeningSource, apply_gate, encode_jpegs, keep_latest  # their earlier names

__all__ = [
    "Folder",
    "Gate",
    "Lasting",
    "ReopeningSource",
    "Source",
    "Virtual",
    "apply_gate",
    "encode_jpegs",
    "encoded",
    "gated",
    "keep_latest",
    "newest",
    "open_source",
]
