"""Masks secrets of URLs in messages and logs. The client's `camera.masking` follows the same rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

MASK = "***"
END = r"(?=[:;,.)]*(?:[\s'\"]|$))"  # a sign behind a secret is no part of it
SECRETS = (
    # user:password@host, token@host; a password may contain an @ or a / that should have been quoted
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


def without_secrets(text: str, *sources: str) -> str:
    """The text with `***` for every user, password and token of a URL in it.

    The secrets of the URLs `sources` are masked outside a URL too, because urllib's errors quote a password alone.
    """
    for secret in sorted({secret for source in sources for secret in _secrets(source)}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    for pattern in SECRETS:
        text = pattern.sub(_mask, text)
    return text


def _mask(found: re.Match[str]) -> str:
    start = found.start()
    return found[0][: found.start("secret") - start] + MASK + found[0][found.end("secret") - start :]


def _secrets(source: str) -> Iterator[str]:
    for pattern in SECRETS:
        for found in pattern.finditer(source):
            user, colon, password = found["secret"].partition(":")
            for secret in (found["secret"], password if colon else user):
                yield from filter(None, (secret, unquote(secret)))
        source = pattern.sub(_mask, source)  # what one pattern has found is no part of another's
