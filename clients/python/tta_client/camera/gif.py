"""Whether a GIF is all there: FFmpeg takes what it cannot read for the end."""

from __future__ import annotations

from typing import BinaryIO

EXTENSION, IMAGE, TRAILER = b"!", b",", b";"


def whole(path: str) -> bool:
    """Whether its blocks follow one another up to the trailer."""
    with open(path, "rb") as file:
        _table(file, file.read(13)[10:11])
        while (block := file.read(1)) in (EXTENSION, IMAGE):
            if block == EXTENSION:
                file.seek(1, 1)  # its label
            else:
                _table(file, file.read(9)[8:])
                file.seek(1, 1)  # bits of a code
            while (size := file.read(1)) not in (b"", b"\0"):
                file.seek(size[0], 1)
        return block == TRAILER


def _table(file: BinaryIO, flags: bytes) -> None:
    """Steps over the colours that the flags announce."""
    if flags and flags[0] & 0x80:
        file.seek(3 * 2 ** (flags[0] % 8 + 1), 1)
