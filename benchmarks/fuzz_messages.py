"""Messages for fuzz.py, made from their descriptors: valid, nearly valid, extreme, absent and of the wrong kind.

Hypothesis draws whole messages; `mutate` changes one of them in a place or two, thousands of times faster than another
could be drawn. Both take their values from `values_of`, which knows what fields of that name usually hold.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import fuzz_images
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tta_service.core.catalogue import reducers, strategies

F = FieldDescriptor
BOUNDS = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    16,
    63,
    64,
    65,
    127,
    128,
    512,
    1000,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    -1,
    -2,
)
FLOATS = (0.0, -0.0, 0.25, 0.5, 1.0, 2.0, 100.0, -1.0, 1e-300, 5e-324, 1e308, float("inf"), -float("inf"), float("nan"))
TEXTS = ("", "a", "b", "cat", "dog", "é", "名前", "\0", " ", "\n", "../../etc/passwd", "a/b", "x" * 128, "x" * 129,
         "{}", "%s", "a b " * 90, "x" * 5000, "\u202e", "😀" * 40, "0", "NaN", "null", "true")  # fmt: skip
NAMES = ("cat", "dog", "car", "house", "a red fox", "cat", "", "under_score", "x" * 256, "x" * 257, "{}", "w " * 100)
TEMPLATES = (
    "a photo of a {}.",
    "{}",
    "itap of a {}",
    "no place",
    "{} and {}",
    "{",
    "openai",
    "simple",
    "x " * 120 + "{}",
)
PARAMETERS = ("views", "keep", "steps", "alpha", "beta", "capacity", "slots", "window", "lr", "learning_rate", "rate",
              "ratio", "fuse", "nothing", "")  # fmt: skip
CHOICES = (*strategies.names(), *reducers.names(), "", "nosuch")
POOLS: dict[str, list[Any]] = {  # what a server has given: ids, tokens, snapshots, its model
    name: []
    for name in ("example_id", "label_set_id", "page_token", "resume_token", "state", "fingerprint", "dimension")
}


def values_of(field: F) -> Sequence[Any]:
    """Values that a field of this name may hold, right and wrong."""
    pool = POOLS.get({"example_ids": "example_id", "model": "fingerprint"}.get(field.name, field.name), [])
    if field.name == "id" and field.containing_type.full_name.startswith("tta."):
        pool = POOLS["label_set_id"]
    return (*pool[-20:], *_values_of(field))


@cache
def _values_of(field: F) -> tuple[Any, ...]:
    kind, owner = field.cpp_type, field.containing_type.name
    if kind == F.CPPTYPE_BOOL:
        return (True, False)
    if kind == F.CPPTYPE_ENUM:
        return (*field.enum_type.values_by_number, *field.enum_type.values_by_number, 99, -1)
    if kind in BOUNDS:
        low, high = BOUNDS[kind]
        return tuple(number for number in NUMBERS if low <= number <= high)
    if kind in (F.CPPTYPE_DOUBLE, F.CPPTYPE_FLOAT):
        return tuple(one for one in FLOATS if kind == F.CPPTYPE_DOUBLE or abs(one) < 1e38 or one != one)
    if field.type == F.TYPE_BYTES:
        return _bytes(field.name)
    texts = {"names": NAMES, "label": NAMES, "templates": TEMPLATES, "texts": NAMES, "text": NAMES}.get(field.name)
    if owner == "Choice" or field.name in ("name", "model_name"):
        texts = (*CHOICES, *CHOICES, *TEXTS, "tta", "embed", "image", "labels", "pixels")
    if field.name == "datatype":
        texts = ("BYTES", "UINT8", "FP32", "INT64", "", "bytes")
    if owner in ("FieldsEntry", "ParametersEntry"):
        texts = (
            *PARAMETERS,
            "sequence_id",
            "sequence_start",
            "sequence_end",
            "labels",
            "top_k",
            "timeout",
            "strategy.views",
        )
    return tuple(texts or TEXTS)


def _bytes(name: str) -> tuple[bytes, ...]:
    if name in ("encoded", "thumbnail"):
        return fuzz_images.whole()
    floats = [
        struct.pack(f"<{n}f", *([value] * n)) for n in (1, 64, 128, 256, 512) for value in (0.1, 0.0, float("nan"))
    ]
    if name in ("values", "sums", "scatter"):
        return (b"", *floats)
    first = fuzz_images.whole()[0]
    return (
        b"",
        b"\0",
        bytes(48),
        bytes(3 * 8 * 8),
        first,
        struct.pack("<I", len(first)) + first,
        b"\xff" * 300,
        *floats[:4],
    )


# ---- drawn


@cache
def messages(kind: type[Message], depth: int = 0) -> st.SearchStrategy[Any]:
    """Messages of that kind. Fields are there or not by turns; deep inside, fewer are."""

    @st.composite
    def build(draw: Callable[[Any], Any]) -> Message:
        message: Any = kind()
        fields = [field for field in kind.DESCRIPTOR.fields if depth < 7 or field.type != F.TYPE_MESSAGE]
        present = draw(st.integers(0, 2 ** len(fields) - 1)) | draw(st.integers(0, 2 ** len(fields) - 1)) * (depth < 2)
        for place, field in enumerate(fields):
            if present >> place & 1:
                fill(
                    message,
                    field,
                    lambda field=field: draw(value(field, depth)),
                    draw(COUNTS) if field.is_repeated else 1,
                )
        return message

    return build()


COUNTS = st.sampled_from([0, 1, 1, 2, 2, 3, 4])


def value(field: F, depth: int) -> st.SearchStrategy[Any]:
    """One value of a field."""
    if field.type == F.TYPE_MESSAGE:
        return messages(field.message_type._concrete_class, depth + 1)
    usual = st.integers(0, 10_000).map(lambda place: (known := values_of(field))[place % len(known)])
    if field.cpp_type in BOUNDS:
        return usual | st.integers(*BOUNDS[field.cpp_type])
    if field.type == F.TYPE_STRING:
        return usual | usual | st.text(max_size=20)
    if field.type == F.TYPE_BYTES:
        return usual | usual | st.binary(max_size=60)
    return usual


def fill(message: Any, field: F, make: Callable[[], Any], count: int = 1) -> None:
    """Sets a field to what `make()` gives, a repeated one to so many."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        for _ in range(count):
            entry = make()
            target = getattr(message, field.name)
            if field.message_type.fields_by_name["value"].message_type:
                target[entry.key].CopyFrom(entry.value)
            else:
                target[entry.key] = entry.value
    elif field.is_repeated:
        getattr(message, field.name).extend(make() for _ in range(count))
    elif field.type == F.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(make())
    else:
        setattr(message, field.name, make())


# ---- changed


def mutate(message: Message, chance: random.Random, others: Sequence[Message] = ()) -> Message:
    """A copy with one to three places changed: another value, none, one more of them, or a part of another message."""
    mutant = type(message)()
    mutant.CopyFrom(message)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _change(mutant, chance, others)
    return mutant


def _change(message: Message, chance: random.Random, others: Sequence[Message]) -> None:
    at: Any = message
    for _ in range(9):  # down into a part that is there
        inner = [
            value
            for field, value in at.ListFields()
            if field.type == F.TYPE_MESSAGE and not field.is_repeated and (value.ListFields() or chance.random() < 0.3)
        ]
        inner += [
            many[chance.randrange(len(many))]
            for field, many in at.ListFields()
            if field.type == F.TYPE_MESSAGE and field.is_repeated and not field.message_type.GetOptions().map_entry
        ]
        if not inner or chance.random() < 0.25:
            break
        at = chance.choice(inner)
    if not at.DESCRIPTOR.fields:
        return
    field = chance.choice(at.DESCRIPTOR.fields)
    if chance.random() < 0.2:
        at.ClearField(field.name)
    elif field.is_repeated and chance.random() < 0.3 and not isinstance(getattr(at, field.name), dict):
        _repeat(getattr(at, field.name), chance)
    else:
        fill(at, field, lambda: any_value(field, chance), chance.choice((1, 1, 2, 5)))


def _repeat(many: Any, chance: random.Random) -> None:
    """One of them again, or all of them some times."""
    if len(many) and hasattr(many, "extend"):
        many.extend([many[chance.randrange(len(many))]] if len(many) > 200 else list(many) * chance.choice((1, 3)))


def any_value(field: F, chance: random.Random, depth: int = 0) -> Any:
    """A value of a field, at random."""
    if field.type == F.TYPE_MESSAGE:
        message = field.message_type._concrete_class()
        for inner in message.DESCRIPTOR.fields:
            if depth < 4 and chance.random() < 0.4:
                fill(message, inner, lambda inner=inner: any_value(inner, chance, depth + 1))
        return message
    if field.type == F.TYPE_BYTES and field.name in ("encoded", "thumbnail", "state", "resume_token"):
        return fuzz_images.mutate(chance.choice(values_of(field)), chance)
    return chance.choice(values_of(field))
