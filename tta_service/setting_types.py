"""The types of single settings: bounds of numbers, lists that may be written as text, secrets."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyNetwork, SecretStr

Host = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=0, le=65535)]  # 0: any free one
Threads = Annotated[int, Field(ge=0, le=256)]  # 0: as many as fit the machine
Seconds = Annotated[float, Field(ge=0, le=86400)]
URL = Annotated[str, Field(repr=False)]  # it may hold a password


def _parse_list(given: Any) -> Any:
    try:
        return json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        raise ValueError("a list of numbers is needed, such as [0.1, 1]") from None


def _check_rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if list(bounds) != sorted(set(bounds)):
        raise ValueError("bounds of buckets rise, each above the one before")
    return bounds


def _check_linux(processes: int) -> int:
    if processes and sys.platform != "linux":
        raise ValueError("processes that decode need Linux")
    return processes


def _split(given: Any) -> Any:
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given


def _check_length(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < 16:
        raise ValueError("a secret has at least 16 characters, as from `openssl rand -hex 32`")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_check_length)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_split)]
Header = Annotated[str, Field(pattern="^[a-z0-9-]*$")]  # lower case, as HTTP/2 has it
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)]
Names = Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")], ...], BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")], ...], BeforeValidator(_split)]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Bounds = Annotated[tuple[Annotated[float, Field(gt=0, le=86400)], ...], Field(min_length=1, max_length=64)]
Buckets = Annotated[Bounds, BeforeValidator(_parse_list), AfterValidator(_check_rising)]
Decoders = Annotated[int, Field(ge=0, le=256), AfterValidator(_check_linux)]  # processes; 0: none
