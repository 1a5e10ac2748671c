"""The camera side: sources of frames, the steps before a frame is sent, and the command `tta-camera`.

The steps are source → gate → encoder → pacer → stream; every step except the stream is optional. A source can be
iterated again, which opens its device again. `live` says whether its frames go stale: those of a webcam do, those of a
file do not.
"""

from .folder import Folder
from .gate import Gate
from .gate import apply_gate as gated
from .jpeg import encode_jpegs as encoded
from .latest_frame import keep_latest as newest
from .reopening import ReopeningSource as Lasting
from .sources import Source, open_source
from .virtual import Virtual

__all__ = ["Folder", "Gate", "Lasting", "Source", "Virtual", "encoded", "gated", "newest", "open_source"]
