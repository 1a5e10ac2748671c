"""Masks the secrets of URLs in messages, in logs and in the list of processes."""

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
END = r"(?=[:;,.)]*(?:[\s'\"]|$))"  # a sign behind a secret is no part of it
SECRETS = (
    # user:password@host, token@host; a password may contain characters that it should escape, such as @ and /
    re.compile(
        r"(?:(?<=://)|(?<=[a-zA-Z]:/)(?!/)|(?<![\w/:.*%-])//)"
        r"(?P<secret>[^\s/?#]+|[^\s/?#:@\[]*:(?!\d+(?:[/?#\s'\"]|$))\S*)(?=@)"
    ),
    re.compile(r"(?<=%3A%2F%2F)(?P<secret>[^\s&]+)(?=%40)", re.IGNORECASE),  # a URL within a URL
    re.compile(r"(?<![\w/:.%-])(?P<secret>[\w.+%-]+:[^\s/@'\"]+)(?=@[\w\[])"),  # without a scheme
    re.compile(
        r"(?<![\w.-])(?:[\w.-]*(?:pwd|psw|loginpas|passw|passphrase|token|secret|auth|credential|signature|jwt|cookie|key)[\w.-]*"
        r"|(?:[\w.-]*[_.-])?(?:pass|pw|pin|sid|sig))(?:=|%3D)(?P<secret>[^\s&'\"]+?)(?:(?=&)|" + END + ")",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bauthorization['\"]?\s*[:=]\s*(?:(?:basic|bearer|digest)\s+)?(?P<secret>[^\s'\"]+?)" + END,
        re.IGNORECASE,
    ),
    # a fragment, which no server is sent; a number is that of a frame
    re.compile(r"(?<=://)[^\s'\"#]*#(?!\d{1,9}" + END + r")(?P<secret>[^\s'\"]+?)" + END),
)


def mask_secrets(text: str, *sources: str) -> str:
    """The text with `***` in place of every user, password and token of a URL in it.

    `sources` are URLs whose secrets are masked also outside a URL: urllib's errors quote a password alone.
    """
    for secret in sorted({secret for source in sources for secret in _find_secrets(source)}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    for pattern in SECRETS:
        text = pattern.sub(_mask_match, text)
    return text


def mask_quotations(sentence: str) -> str:
    """An error of urllib about a URL without what it quotes: that may be a piece of a password with a / or a #."""
    return re.sub(r"(?<!\w)'.*?'(?!\w)", MASK, sentence)


def _mask_match(match: re.Match[str]) -> str:
    start = match.start()
    return match[0][: match.start("secret") - start] + MASK + match[0][match.end("secret") - start :]


def _find_secrets(source: str) -> Iterator[str]:
    for pattern in SECRETS:
        for match in pattern.finditer(source):
            user, colon, password = match["secret"].partition(":")
            for secret in (match["secret"], password if colon else user):
                yield from filter(None, (secret, unquote(secret)))
        source = pattern.sub(_mask_match, source)  # what one pattern has found is no part of another's


class MaskingFormatter(logging.Formatter):
    """Formats log records, of the client and of other packages, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))


def hide_secrets() -> None:
    """Masks the secrets in this process's command line, which every user of the machine may read. Linux only.

    They are visible until this call; a source given as `@FILE` is never in the command line.
    """
    with suppress(OSError, ValueError):
        start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
        command_line = Path("/proc/self/cmdline").read_bytes()
        words = command_line.split(b"\0")
        masked = b"\0".join(map(_mask_argument, words, [b"", *words]))
        size = len(command_line)
        if masked != command_line and start and end - start == size and ctypes.string_at(start, size) == command_line:
            ctypes.memmove(start, masked, size)


def _mask_argument(argument: bytes, before: bytes) -> bytes:
    """The masked argument, padded to its former length: the arguments behind it must not move."""
    if before == b"--token":
        return MASK.encode()[: len(argument)].ljust(len(argument))
    return os.fsencode(mask_secrets(os.fsdecode(argument)))[: len(argument)].ljust(len(argument))
