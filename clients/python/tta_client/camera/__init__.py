"""The camera side: sources of frames, what happens to these on their way, and the command `tta-camera`.

Source → Gate → Encoder → Pacer → Stream: every part but the stream may be left out. A source is iterated once, or as
often as its camera comes back. `live` says whether its frames go stale: a webcam's do, a file's do not.
"""

from .folder import Folder
from .gate import Gate, gated
from .jpeg import encoded
from .latest_frame import newest
from .reopening import Lasting
from .sources import Source, open_source
from .virtual import Virtual

__all__ = ["Folder", "Gate", "Lasting", "Source", "Virtual", "encoded", "gated", "newest", "open_source"]
