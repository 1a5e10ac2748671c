"""Tensors in JSON: long ones are taken out of the text before it is read, and become bytes in short steps.

Python's JSON reader holds the interpreter while it reads, for 14 MB of numbers more than half a second.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from ...core.errors import BadRequest, TooLarge
from ...core.parameters import shorten
from ..base64_text import decode_base64
from ..json_text import load_json
from ..large_json import LONG
from .tensors import BYTE_VALUES, RANK

JSON_BYTES = 1 << 20  # of what remains
PIECE = 64 << 10  # characters of numbers that are read at once
NUMERALS = b"0123456789,[] \t\r\n"
NOT_FORM = NUMERALS.translate(None, b"[],")
RAGGED = "its lists of one depth are not equally long"
FLAT = bytes.maketrans(b"[]", b"  ")
MARK = secrets.token_hex(16)  # what stands in place of what is taken out; no caller knows it


@dataclass(frozen=True, slots=True)
class Numbers:
    """The text of a list of numbers, of any depth, without its outer brackets."""

    text: bytes


Taken = list[bytes | Numbers]


def load_head(text: bytes) -> tuple[Any, Taken]:
    """The value in a JSON text, and what its marks stand for. Raises `BadRequest`, `TooLarge`."""
    taken: Taken = []
    rest = b"".join(_take_out(text, taken))
    if len(rest) > JSON_BYTES:
        raise TooLarge(f"the JSON has {len(rest)} bytes beside long tensors, at most {JSON_BYTES} are allowed")
    return load_json(rest), taken


def _take_out(text: bytes, taken: Taken) -> Iterator[bytes]:
    """The text with a mark in place of each long element of a list and of each long list of numbers."""
    begin = 0
    while len(text) - begin > LONG:
        quote = text.find(b'"', begin)
        numbers = _find_numbers(text, begin, len(text) if quote < 0 else quote)
        if numbers:
            start, end = numbers
            yield text[begin:start] + _mark(taken, Numbers(text[start:end]))
            begin = end
            continue
        end = text.find(b'"', quote + 1) if quote >= 0 else -1
        if end < 0 or text[end - 1 : end] == b"\\":  # an escaped quote: the plain reader may have all that follows
            break
        if end - quote > LONG and text[max(begin, quote - 8) : quote].rstrip()[-1:] in (b"[", b","):
            yield text[begin:quote] + _mark(taken, text[quote + 1 : end])
        else:
            yield text[begin : end + 1]
        begin = end + 1
    yield text[begin:]


def _find_numbers(text: bytes, begin: int, end: int) -> tuple[int, int] | None:
    """Where the text between has a long list of nothing but numbers, without its brackets."""
    start = text.find(b"[", begin, end) + 1
    if not start or end - start < LONG:
        return None
    brace = text.find(b"}", start, end)
    last = text.rfind(b"]", start, end if brace < 0 else brace)
    return (start, last) if last - start > LONG and not text[start:last].translate(None, NUMERALS) else None


def _mark(taken: Taken, what: bytes | Numbers) -> bytes:
    taken.append(what)
    return f'"{MARK}{len(taken) - 1}"'.encode()


def pack_texts(data: list[Any], taken: Taken, encoded: bool, field: str) -> list[bytes]:
    """The elements of BYTES: texts, which are base64 where they are pictures (`encoded`). Raises `BadRequest`."""
    elements = list[bytes]()
    for item in (_resolve(one, taken) for one in _flatten(data, field)):
        if not isinstance(item, str | bytes):
            raise BadRequest(f"its elements are texts, and {shorten(str(item))} is none", field)
        if encoded:
            elements.append(decode_base64(item, field, escaped=isinstance(item, bytes)))
        else:
            elements.append(item.encode() if isinstance(item, str) else item)
    return elements


def pack_numbers(data: list[Any], taken: Taken, field: str) -> bytes:
    """The values of UINT8. Raises `BadRequest`."""
    try:
        return b"".join(
            _read_numbers(item.text, field) if isinstance(item, Numbers) else bytes((item,))
            for item in (_resolve(one, taken) for one in _flatten(data, field))
        )
    except (ValueError, TypeError):
        raise BadRequest(BYTE_VALUES, field) from None


def _resolve(item: Any, taken: Taken) -> Any:
    return taken[int(item[len(MARK) :])] if isinstance(item, str) and item.startswith(MARK) else item


def _flatten(data: list[Any], field: str) -> list[Any]:
    """The elements in row-major order. Raises `BadRequest` where lists that stand side by side differ in length."""
    for _ in range(RANK):
        lengths = {len(cast("list[Any]", one)) if isinstance(one, list) else -1 for one in data}
        if lengths <= {-1}:
            break
        if len(lengths) > 1:
            raise BadRequest(RAGGED, field)
        data = [item for one in data for item in one]
    return data


def _read_numbers(text: bytes, field: str) -> bytes:
    """Raises ValueError, TypeError, and `BadRequest` as `_flatten` does."""
    if not _is_regular(b"[" + text.translate(None, NOT_FORM) + b"]"):
        raise BadRequest(RAGGED, field)
    text, values, begin = text.translate(FLAT), bytearray(), 0
    while begin <= len(text):
        comma = text.find(b",", begin + PIECE)
        end = len(text) if comma < 0 else comma
        values += bytes(json.loads(b"[" + text[begin:end] + b"]"))
        begin = end + 1
    return bytes(values)


def _is_regular(form: bytes) -> bool:
    """Whether lists side by side are equally long, by the brackets and commas of a nested list.

    The first list of each depth, from the inmost one on, must be its own first element repeated.
    """
    depth, element = len(form) - len(form.lstrip(b"[")), b""
    for inner in range(1, min(depth, RANK) + 1):
        end = form.find(b"]" * inner) + inner
        many = (end - (depth - inner) - 1) // (len(element) + 1)
        element = b"[" + ((element + b",") * many)[:-1] + b"]"
        if form[depth - inner : end] != element:
            return False
    return form == element
