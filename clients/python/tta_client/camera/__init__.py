"""The camera side: sources of frames, the steps before a frame is sent, and the command `tta-camera`.

The steps are source → gate → encoder → pacer → stream; every step except the stream is optional. A source can be
iterated again, which opens its device again. `live` says whether its frames go stale: those of a webcam do, those of a
file do not.
"""

from .folder import FolderSource
from .gate import Gate, apply_gate
from .latest_frame import keep_latest
from .pictures import encode_jpegs
from .reopening import ReopeningSource
from .sources import Source, open_source
from .virtual import VirtualSource

# their earlier names
Folder, Virtual, Lasting = FolderSource, VirtualSource, ReopeningSource
gated, encoded, newest = apply_gate, encode_jpegs, keep_latest

__all__ = [
    "Folder",
    "FolderSource",
    "Gate",
    "Lasting",
    "ReopeningSource",
    "Source",
    "Virtual",
    "VirtualSource",
    "apply_gate",
    "encode_jpegs",
    "encoded",
    "gated",
    "keep_latest",
    "newest",
    "open_source",
]
