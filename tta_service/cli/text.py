"""Text from users: files of names in the usual encodings, and file names that are no valid text.

The client's `camera.text` follows the same rules.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTE_ORDER_MARKS = (  # UTF-32's first, since it begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def read_lines(file: str | os.PathLike[str]) -> list[str]:
    """The stripped lines of a text file, without the empty ones.

    A byte-order mark gives the encoding; without one it is UTF-8, or UTF-16 when the text holds zeros. Lines may end as
    on any system, and a leading `~` is the user's home: no shell expands `@~/FILE`. Raises ValueError with a sentence
    that names the file.
    """
    try:
        text = _decode(Path(os.path.expanduser(file)).read_bytes())
    except UnicodeError:
        raise ValueError(f"cannot read {printable(str(file))}: it is neither UTF-8 nor UTF-16") from None
    except OSError as error:
        raise ValueError(f"cannot read {printable(str(file))}: {error.strerror or error}") from None
    lines = re.split(r"\r\n|\r|\n", text.replace("\ufeff", ""))  # files that were joined keep their marks
    return [line.strip() for line in lines if line.strip()]


def utf8(text: str) -> str:
    """An argument or file name decoded as UTF-8, whatever the locale. Raises ValueError for other bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        raise ValueError(f"{_escape(text)} is not UTF-8") from None


def printable(text: str) -> str:
    """The text as UTF-8. Other bytes become escapes, so that two such names still differ."""
    try:
        return utf8(text)
    except ValueError:
        return _escape(text)


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def json_line(value: Any, ascii: bool = True) -> str:
    """One line of JSON for any parser: infinity and NaN become null."""
    return json.dumps(_jsonable(value), ensure_ascii=ascii, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {printable(str(name)): _jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value) if isinstance(value, str) else value


def _decode(data: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:  # UTF-16, in which the upper byte of most letters is zero
        return data.decode("utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    return data.decode("utf-8")
