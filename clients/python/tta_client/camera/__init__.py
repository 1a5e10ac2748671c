"""The camera side: sources of frames, the JPEGs made of them, and the command `tta-camera`.

A source is iterated once. `live` says whether its frames go stale: a webcam's do, a file's do not.
"""

from .folder import Folder
from .grabber import newest
from .jpeg import encoded
from .sources import Source, open_source
from .virtual import Virtual

__all__ = ["Folder", "Source", "Virtual", "encoded", "newest", "open_source"]
