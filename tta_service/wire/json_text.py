"""JSON texts as Python's values, with errors for callers."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import Any, NoReturn, cast

from ..core.errors import BadRequest

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a pair that stands for one character


def load_json(text: bytes | str, at: str = "") -> Any:
    """The value in a JSON text. `at` is its field, for errors.

    Raises `BadRequest`; NaN and Infinity are no JSON, and half a character is no text.
    """
    try:
        text = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeated)
        if SURROGATE.search(text):
            _check_unicode(value, at)
        return value
    except RecursionError:
        raise BadRequest("this JSON is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"this is not JSON: {error}") from None
    except ValueError:  # Python reads no longer ones
        digits = sys.get_int_max_str_digits()
        raise BadRequest(f"a number in this JSON has more than {digits} digits") from None


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"this is not JSON: {name} is no number of JSON")


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"this is not JSON: {name[:60]!r} is given more than once")
    return value


def _check_unicode(value: Any, path: str) -> None:
    """Raises `BadRequest` for a text with half of a surrogate pair, as a value or as a name."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRequest("this text is no valid Unicode: it has half of a surrogate pair", path) from None
    elif isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            _check_unicode(name, path)
            _check_unicode(item, f"{path}.{name[:60]}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(cast("list[Any]", value)):
            _check_unicode(item, f"{path}[{place}]")
