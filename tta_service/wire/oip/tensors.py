"""Tensors as the protocol carries them: raw bytes beside the message, or lists of values in it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...core.errors import BadRequest
from ...core.parameters import shorten
from ..v1 import open_inference_pb2 as oip

Input = oip.ModelInferRequest.InferInputTensor
LENGTH = struct.Struct("<I")  # before each element of a raw BYTES tensor
RANK = 8  # dimensions of a tensor
BYTE_VALUES = "its values are whole numbers from 0 to 255"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input. The values are in row-major order."""

    shape: tuple[int, ...]
    values: Sequence[bytes] | memoryview  # elements of BYTES, or the UINT8 values

    @property
    def batch(self) -> int:
        """The first dimension."""
        return self.shape[0]

    def texts(self, field: str) -> list[str]:
        """The elements of BYTES as UTF-8. Raises `BadRequest`."""
        try:
            return [bytes(value).decode() for value in self.values]  # type: ignore[arg-type]
        except UnicodeDecodeError:
            raise BadRequest("these bytes are not UTF-8", field) from None


def read_inputs(message: oip.ModelInferRequest, datatypes: Mapping[str, str], most: int) -> dict[str, Tensor]:
    """The inputs by name, each of its datatype in `datatypes`, with at most `most` elements of BYTES.

    Raises `BadRequest` that names the input.
    """
    raw, inputs = message.raw_input_contents, dict[str, Tensor]()
    inline = [tensor.name for tensor in message.inputs if tensor.HasField("contents")]
    if raw and inline:
        raise BadRequest("raw_input_contents hold all inputs or none, and this one has contents", f"inputs.{inline[0]}")
    if raw and len(raw) != len(message.inputs):
        raise BadRequest(f"{len(raw)} entries for {len(message.inputs)} inputs", "raw_input_contents")
    for place, tensor in enumerate(message.inputs):
        field = f"inputs.{tensor.name[:64]}"
        if tensor.name in inputs:
            raise BadRequest("it is there twice", field)
        _check(tensor, datatypes, field)
        inputs[tensor.name] = _read(tensor, raw[place] if raw else None, field, most)
    return inputs


def _check(tensor: Input, datatypes: Mapping[str, str], field: str) -> None:
    if tensor.name not in datatypes:
        raise BadRequest(f"there is no such input; there are {', '.join(datatypes)}", field)
    if "shared_memory_region" in tensor.parameters:
        raise BadRequest("this server reads no shared memory", field)
    if tensor.datatype != (datatype := datatypes[tensor.name]):
        raise BadRequest(f"its datatype is {datatype}, not {shorten(tensor.datatype)}", field)


def _read(tensor: Input, raw: bytes | None, field: str, most: int) -> Tensor:
    contents = tensor.contents.uint_contents if tensor.datatype == "UINT8" else tensor.contents.bytes_contents
    count = count_values(tensor.shape, field)
    if tensor.datatype != "UINT8" and count > most:
        raise BadRequest(f"{count} elements; this server takes at most {most}", field)
    if raw is not None:
        values = memoryview(raw) if tensor.datatype == "UINT8" else split_bytes(raw, count, field)
        check_count(len(values), count, field)
    else:
        check_count(len(contents), count, field)
        values = (
            memoryview(_pack(tensor.contents.uint_contents, field)) if tensor.datatype == "UINT8" else list(contents)
        )
    return Tensor(tuple(tensor.shape), values)  # type: ignore[arg-type]


def count_values(shape: Sequence[int], field: str) -> int:
    """How many values a tensor of that shape has. Raises `BadRequest` for a shape that no tensor has."""
    if len(shape) > RANK:
        raise BadRequest(f"its shape has {len(shape)} dimensions; there are at most {RANK}", field)
    if not shape or min(shape) < 1:
        raise BadRequest(f"its shape is {list(shape)}; it takes positive numbers", field)
    return math.prod(shape)


def check_count(values: int, count: int, field: str) -> None:
    """Raises `BadRequest` unless they are so many."""
    if values != count:
        raise BadRequest(f"{values} values; its shape holds {count}", field)


def _pack(values: Iterable[int], field: str) -> bytes:
    try:
        return bytes(values)
    except ValueError:
        raise BadRequest(BYTE_VALUES, field) from None


def split_bytes(raw: bytes, count: int, field: str) -> list[bytes]:
    """The `count` elements of a raw BYTES tensor: each a length in four bytes, little-endian, and its bytes.

    Raises `BadRequest`.
    """
    elements, at = list[bytes](), 0
    while at < len(raw) and len(elements) < count:
        if at + LENGTH.size > len(raw):
            raise BadRequest(f"element {len(elements)} ends within its length", field)
        (size,) = LENGTH.unpack_from(raw, at)
        at += LENGTH.size
        if size > len(raw) - at:
            raise BadRequest(f"element {len(elements)} has {size} bytes, and {len(raw) - at} are left", field)
        elements.append(raw[at : at + size])
        at += size
    if at < len(raw):
        raise BadRequest(f"{len(raw) - at} bytes are left after {count} elements", field)
    return elements


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """A raw BYTES tensor."""
    return b"".join(part for element in elements for part in (LENGTH.pack(len(element)), element))


def add_texts(reply: oip.ModelInferResponse, name: str, rows: Sequence[Sequence[str]]) -> None:
    """Adds an output of datatype BYTES, [b, n]."""
    reply.outputs.add(name=name, datatype="BYTES", shape=[len(rows), len(rows[0])])
    reply.raw_output_contents.append(join_bytes(text.encode() for row in rows for text in row))


def add_floats(reply: oip.ModelInferResponse, name: str, rows: Sequence[ArrayLike]) -> None:
    """Adds an output of datatype FP32, [b, n]."""
    values = np.array(rows, dtype="<f4")
    reply.outputs.add(name=name, datatype="FP32", shape=values.shape)
    reply.raw_output_contents.append(values.tobytes())
