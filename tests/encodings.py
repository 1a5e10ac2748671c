"""Text as editors write it: encodings and byte-order marks."""

from __future__ import annotations

import codecs
from collections.abc import Callable

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, little": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16, little, no mark": lambda text: text.encode("utf-16-le"),
    "UTF-16, big, no mark": lambda text: text.encode("utf-16-be"),
    "UTF-32, little": lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
    "UTF-32, big": lambda text: codecs.BOM_UTF32_BE + text.encode("utf-32-be"),
}
