"""The pictures that words of a command line stand for: files, folders, globs, URLs, and the frames of videos."""

from __future__ import annotations

import base64
import glob
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ..core.masking import MASK, without_secrets
from ..core.request import Encoded, PixelFormat, Raw
from .text import printable

PICTURES = ".jpg", ".jpeg", ".png", ".webp"
VIDEOS = ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv", ".3gp"
TIMEOUT = 30.0  # seconds that a URL may be silent


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture by the name that it has in results. `read` raises OSError."""

    name: str
    read: Callable[[], Encoded | Raw]


@dataclass(frozen=True, slots=True)
class Input:
    """A file or a URL of a picture or a video."""

    text: str
    number: int = 1  # among inputs that differ in their secrets alone

    @property
    def name(self) -> str:
        """The text, whatever its bytes are, and without the secrets of a URL."""
        return to_name(self.text) + (f" ({self.number})" if self.number > 1 else "")

    @property
    def is_video(self) -> bool:
        """Whether it holds frames rather than one picture; its ending tells."""
        path = re.split("[?#]", self.text)[0] if _is_url(self.text) else self.text
        return path.lower().endswith(VIDEOS)

    def count(self) -> int:
        """The number of pictures, as far as a video announces it."""
        return max(1, _open_video(self.text).count()) if self.is_video else 1

    def pictures(self, every: float, largest: int) -> Iterator[Picture]:
        """Its pictures; of a video one for every so many seconds (0: all). A URL may have `largest` bytes.

        Raises OSError for a video that cannot be read.
        """
        if not self.is_video:
            yield Picture(self.name, lambda: Encoded(_read(self.text, largest)))
            return
        due = 0.0
        for frame in _open_video(self.text):
            position = frame.position or 0.0
            if position >= due - 1e-6:
                due = due + every if position < due + every else position + every
                yield Picture(f"{self.name}#{frame.frame_id}", lambda pixels=frame.image: _to_raw(pixels))


def find_inputs(words: Iterable[str]) -> Iterator[Input]:
    """The inputs in their order; of folders, all pictures and videos in and below them, by name.

    A name that exists is no pattern. A name that does not is an input, whose error says so.
    """
    for word in words:
        if _is_url(word) or (os.path.lexists(word) and not os.path.isdir(word)):
            yield Input(word)
        elif os.path.isdir(word):
            yield from map(Input, _find_in(word))
        else:
            found = sorted(one for one in glob.glob(word, recursive=True) if os.path.isfile(one))
            yield from map(Input, found or [word])


def to_name(text: str) -> str:
    """What results call a file or a URL."""
    return without_secrets(printable(text)) if "://" in text else printable(text)


def number_inputs(inputs: Sequence[Input]) -> list[Input]:
    """The inputs, of which no two different ones have one name."""
    texts = dict[str, list[str]]()
    for one in inputs:
        alike = texts.setdefault(one.name, [])
        alike += [one.text] if one.text not in alike else []
    return [replace(one, number=texts[one.name].index(one.text) + 1) for one in inputs]


def _find_in(folder: str) -> Iterator[str]:
    """Raises OSError for a folder that cannot be read or holds nothing."""
    found = False
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(PICTURES + VIDEOS):
                found = True
                yield os.path.join(place, file)
    if not found:
        raise FileNotFoundError(2, "holds no pictures and no videos", folder)


def _raise(error: OSError) -> None:
    raise error


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _read(text: str, largest: int) -> bytes:
    if not _is_url(text):
        if "://" in text and not os.path.lexists(text):
            raise OSError("it is no URL of http:// or https://; cameras are for tta-camera")
        return Path(text).read_bytes()
    try:
        with urllib.request.urlopen(_make_request(text), timeout=TIMEOUT) as reply:
            data = reply.read(largest + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"it answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        # what is quoted may be a piece of a password with a /
        reason = re.sub(r"(?<!\w)'.*?'(?!\w)", MASK, str(getattr(error, "reason", error)))
        raise OSError(without_secrets(reason, text)) from None
    if len(data) > largest:
        raise OSError(f"it has more than {largest} bytes (limits.image_bytes)")
    return data


def _make_request(url: str) -> urllib.request.Request:
    """Has user and password of the URL as basic authentication, for its own host alone. Raises ValueError."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)))
    if at:
        user, _, password = login.partition(":")
        credentials = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request


def _open_video(text: str) -> Any:
    """Raises OSError where the client's camera is not installed."""
    try:
        from tta_client.camera.video import VideoSource
    except ImportError:
        raise OSError("a video needs the client: pip install './clients/python[camera]' in a checkout") from None
    return VideoSource(text)


def _to_raw(pixels: Any) -> Raw:
    height, width = pixels.shape[:2]
    return Raw(width, height, PixelFormat.RGB24, pixels.tobytes())
