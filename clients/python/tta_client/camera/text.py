"""Text from outside: files in any of the usual encodings, and names that are not valid text."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from io import TextIOWrapper
from pathlib import Path

BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def read_lines(file: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file that are not empty, without surrounding blanks.

    A byte-order mark decides the encoding. A file without one is UTF-16 if it contains zero bytes, and UTF-8 otherwise.
    Lines may end as on any system, and a leading `~` is the user's home: no shell expands `@~/FILE`. Raises ValueError,
    naming the file, if it cannot be read.
    """
    try:
        text = _decode(Path(os.path.expanduser(file)).read_bytes())
    except UnicodeError:
        raise ValueError(f"cannot read {make_printable(str(file))}: it is neither UTF-8 nor UTF-16") from None
    except OSError as error:
        raise ValueError(describe_unreadable(file, error)) from None
    lines = re.split(r"\r\n|\r|\n", text.replace("\ufeff", ""))  # files that were joined keep their marks
    return [line.strip() for line in lines if line.strip()]


def describe_unreadable(file: str | os.PathLike[str], error: OSError) -> str:
    """Which file cannot be read, and why."""
    return f"cannot read {make_printable(str(file))}: {error.strerror or error}"


def to_slug(text: str, kept: str = "") -> str:
    """ASCII letters, digits, hyphens and what is `kept`; a hash keeps texts apart that differ in other characters."""
    slug = re.sub(rf"[^a-zA-Z0-9{re.escape(kept)}-]+", "_", text)
    return slug if slug == text else f"{slug}-{hashlib.sha256(make_printable(text).encode()).hexdigest()[:8]}"


def require_utf8(text: str) -> str:
    """An argument or a file's name as UTF-8, whatever the locale. Raises ValueError if its bytes are not UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        raise ValueError(f"{_escape(text)} is not UTF-8") from None


def make_printable(text: str) -> str:
    """As `require_utf8`, but bytes that are not UTF-8 become escapes, so that different names stay different."""
    try:
        return require_utf8(text)
    except ValueError:
        return _escape(text)


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def replace_unencodable(*streams: object) -> None:
    """Makes text streams write "?" for a character that their encoding lacks."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _decode(data: bytes) -> str:
    for bom, encoding in BYTE_ORDER_MARKS:
        if data.startswith(bom):
            return data.decode(encoding)
    if b"\0" in data:  # in UTF-16 the upper byte of a line end, and of most letters, is zero
        return data.decode("utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    return data.decode("utf-8")
