"""Text that somebody else wrote: files of names in any of the usual encodings, names that are no text at all."""

from __future__ import annotations

import codecs
import os
import re
from io import TextIOWrapper
from pathlib import Path

MARKS = (  # UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def lines_of(file: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file without blanks around them, and without the empty ones.

    A byte-order mark says how it is encoded; without one it is UTF-8, or UTF-16 where zeros give that away. Lines end
    as any system ends them. Raises ValueError with a sentence that names the file.
    """
    try:
        text = _decode(Path(file).read_bytes())
    except UnicodeError:
        raise ValueError(f"cannot read {printable(str(file))}: it is neither UTF-8 nor UTF-16") from None
    except OSError as error:
        raise ValueError(f"cannot read {printable(str(file))}: {error.strerror or error}") from None
    return [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


def utf8(text: str) -> str:
    """An argument, or a file's name, where the locale is not that of its bytes. ValueError: they are no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        raise ValueError(f"{_escape(text)} is not UTF-8") from None


def printable(text: str) -> str:
    """The same; bytes that are no UTF-8 become escapes, so that two such names still differ."""
    try:
        return utf8(text)
    except ValueError:
        return _escape(text)


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def lenient(*streams: object) -> None:
    """From now on a letter that such a stream cannot write is a "?" there."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _decode(data: bytes) -> str:
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:  # two bytes a letter; those of a line's end, and of most letters, are zero above
        return data.decode("utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    return data.decode("utf-8")
