"""Pictures as they come: files in a folder that is watched, and JPEGs on standard input."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..types.frames import Frame
from .folder import FolderSource, read_frame
from .text import make_printable

MAX_JPEG = 64 << 20  # bytes
ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
END = 0xD9
log = logging.getLogger("tta_client")


@dataclass(frozen=True, slots=True)
class WatchedSource:
    """The pictures of a folder or a glob, those that are there and then those that come, without end.

    A picture is taken when neither its size nor its time has changed between two looks, `interval` seconds apart, and
    again when it is written anew. A folder that is away is waited for.
    """

    pattern: str
    interval: float = 0.5
    live: bool = False  # each picture is answered

    def __iter__(self) -> Iterator[Frame]:
        number, taken, seen = 0, dict[Path, tuple[int, int]](), dict[Path, tuple[int, int]]()
        folder, away = FolderSource(self.pattern), False
        while True:
            found = dict[Path, tuple[int, int]]()
            try:
                found = _find_versions(folder.paths())
                away = False
            except OSError as error:
                if not away:
                    log.warning("%s: %s; it is waited for", make_printable(self.pattern), error.strerror)
                away = True
            ready = [path for path, version in found.items() if seen.get(path) == version != taken.get(path)]
            for path in sorted(ready, key=lambda path: (found[path][1], path)):
                taken[path] = found[path]
                frame = read_frame(number + 1, path)
                if isinstance(frame.image, bytes) or path.exists():
                    number += 1
                    yield frame
            taken = {path: version for path, version in taken.items() if path in found}
            seen = found
            time.sleep(self.interval)


def _find_versions(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of each picture, without those that have gone meanwhile."""
    found = dict[Path, tuple[int, int]]()
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found[path] = stat.st_size, stat.st_mtime_ns
    return found


@dataclass(frozen=True, slots=True)
class PipeSource:
    """JPEGs one after the other on a stream, as `ffmpeg -f image2pipe` and `libcamera-vid --codec mjpeg` write them.

    What stands between two pictures is passed over. Iterating raises OSError for a stream that breaks off in a picture
    or holds none.
    """

    live: bool = True
    stream: BinaryIO = field(default_factory=lambda: sys.stdin.buffer, repr=False, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        while (data := read_jpeg(self.stream)) is not None:
            number += 1
            yield Frame(number, data)
        if not number:
            raise EndOfPipe("standard input holds no JPEG")


class EndOfPipe(ValueError):
    """No more pictures can come: unlike a camera, a pipe cannot be opened again."""


def read_jpeg(stream: BinaryIO) -> bytes | None:
    """The bytes of the next JPEG, from its SOI to its EOI; None at the end. Raises `EndOfPipe` for a part of one.

    Segments are skipped by their lengths, because the thumbnail in one has an EOI of its own (ITU-T T.81, annex B).
    """
    before = b""
    while (sign := stream.read(1)) and before + sign != b"\xff\xd8":
        before = sign
    if not sign:
        return None
    data, marker = bytearray(b"\xff\xd8"), 0
    while marker != END:
        marker = _read_marker(stream, data)
        if marker in ALONE or marker == END:
            continue
        length = int.from_bytes(_take(stream, 2, data), "big")
        _take(stream, max(0, length - 2), data)
    return bytes(data)


def _read_marker(stream: BinaryIO, data: bytearray) -> int:
    """Reads up to the next marker, over the coded pixels of a scan, in which 0xff is followed by 0."""
    while True:
        if _take(stream, 1, data) == b"\xff":
            while (marker := _take(stream, 1, data)[0]) == 0xFF:
                pass
            if marker:
                return marker


def _take(stream: BinaryIO, number: int, data: bytearray) -> bytes:
    found = stream.read(number) if number else b""
    if len(found) < number:
        raise EndOfPipe("standard input breaks off in a picture")
    data += found
    if len(data) > MAX_JPEG:
        raise EndOfPipe(f"standard input holds a picture of more than {MAX_JPEG >> 20} MiB")
    return found
