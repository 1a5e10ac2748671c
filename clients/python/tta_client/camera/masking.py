"""Secrets in URLs: what may be read in messages, logs and lists of processes has none."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

MASK = "***"
SECRETS = (
    # user:password@host, token@host; a password may hold what it should not, an @ or a / among it
    re.compile(r"(?<=://)(?P<secret>[^\s/?#]+|[^\s/?#:@\[]*:(?!\d+(?:[/?#\s'\"]|$))\S*)(?=@)"),
    re.compile(r"(?<=%3A%2F%2F)(?P<secret>[^\s&]+)(?=%40)", re.IGNORECASE),  # a URL within a URL
    re.compile(r"(?<![\w/:.%-])(?P<secret>[\w.+%-]+:[^\s/@'\"]+)(?=@[\w\[])"),  # without a scheme
    re.compile(
        r"(?<![\w.-])(?:[\w.-]*(?:pwd|passw|passphrase|token|secret|auth|credential|signature|jwt|cookie|key)[\w.-]*"
        r"|(?:[\w.-]*[_.-])?(?:pass|pw|pin|sid|sig))(?:=|%3D)(?P<secret>[^\s&'\"]+)",
        re.IGNORECASE,
    ),
    re.compile(r"\bauthorization['\"]?\s*[:=]\s*(?:(?:basic|bearer|digest)\s+)?(?P<secret>[^\s'\"]+)", re.IGNORECASE),
)


def without_secrets(text: str, *sources: str) -> str:
    """The text with `***` for every user, password and token of a URL in it, whoever wrote it.

    `sources` are URLs whose secrets are masked wherever they stand, as urllib quotes a password without its URL.
    """
    for secret in sorted({secret for source in sources for secret in _secrets(source)}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    for pattern in SECRETS:
        text = pattern.sub(_without, text)
    return text


def _without(found: re.Match[str]) -> str:
    start = found.start()
    return found[0][: found.start("secret") - start] + MASK + found[0][found.end("secret") - start :]


def _secrets(source: str) -> Iterator[str]:
    for pattern in SECRETS:
        for found in pattern.finditer(source):
            user, colon, password = found["secret"].partition(":")
            for secret in (found["secret"], password if colon else user):
                yield from filter(None, (secret, unquote(secret)))


class MaskingFormatter(logging.Formatter):
    """Of whatever is logged, by us or by others, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def hide_secrets() -> None:
    """Mask them in this process's own command line too, which every user of the machine may read. On Linux only; until
    Python has come this far they are there, so a source of `@FILE` hides more."""
    with suppress(OSError, ValueError):
        place, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
        told = Path("/proc/self/cmdline").read_bytes()
        masked = b"\0".join(map(_mask, told.split(b"\0")))
        if masked != told and place and end - place == len(told) and ctypes.string_at(place, len(told)) == told:
            ctypes.memmove(place, masked, len(told))


def _mask(argument: bytes) -> bytes:
    """As long as it was: nothing else may move."""
    return os.fsencode(without_secrets(os.fsdecode(argument)))[: len(argument)].ljust(len(argument))
