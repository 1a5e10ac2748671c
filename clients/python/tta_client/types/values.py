"""Values on their way to protobuf and back: NumPy's scalars become Python's own, whole floats ints, lists tuples."""

from __future__ import annotations

import operator
from collections.abc import Mapping, MutableSequence
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import make_refusal

T = TypeVar("T")


def parse_unsigned(value: Any, field: str, bits: int = 64) -> int:
    """A whole number that fits `bits` bits without a sign. Raises `Refused`, naming `field`."""
    number = -1
    try:
        number = operator.index(to_plain(value))
    except Exception:  # of an object whose own conversion fails, too
        if isinstance(value := to_plain(value), float) and value.is_integer():
            number = int(value)
    if not 0 <= number < 2**bits:
        raise make_refusal(f"{repr(value)[:60]} is not a whole number from 0 to {2**bits - 1}", field)
    return number


def parse_number(value: Any, field: str) -> float:
    """A real number. Raises `Refused`, naming `field`."""
    try:
        return float(value)
    except Exception:  # of an object whose own conversion fails, too
        raise make_refusal(f"{repr(value)[:60]} is not a number", field) from None


def parse_text(value: Any, field: str) -> str:
    """Text that UTF-8 can carry; None is empty. Raises `Refused`, naming `field`."""
    try:
        _ = str.encode("" if value is None else value)
    except (TypeError, UnicodeEncodeError):
        raise make_refusal(f"{repr(value)[:60]} is not text", field) from None
    return value or ""


def check_kind(value: Any, kind: type[T], field: str) -> T:
    """The value, if it is of that class. Raises `Refused`, naming `field`."""
    if not isinstance(value, kind):
        raise make_refusal(f"{repr(value)[:60]} is no {kind.__name__}(…)", field)
    return value


def to_plain(value: Any) -> Any:
    """The same value with Python's own numbers, lists and dicts in place of NumPy's."""
    if isinstance(value, Mapping):
        return {str(name): to_plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def read_fields(cls: type[T], message: Any, **given: Any) -> T:
    """A dataclass from the fields of the same names of a message, or attributes of an object, and those `given`."""
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in given:
            value = getattr(message, field.name)
            given[field.name] = tuple(value) if isinstance(value, MutableSequence) else value
    return cls(**given)
