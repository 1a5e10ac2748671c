"""The protocol's bodies by HTTP: JSON, and after it the tensors that are sent as bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ...core.errors import BadRequest, TTAError
from ...core.parameters import shorten
from ..json_mapping import from_json
from ..v1 import open_inference_pb2 as oip
from .json_replies import dump
from .json_tensors import Taken, load_head, pack_numbers, pack_texts
from .parameters import pop
from .tensors import check_count, count_values, join_bytes, split_bytes

LENGTH = "Inference-Header-Content-Length"
FIELDS = "id", "model_name", "model_version", "parameters", "inputs", "outputs"
INPUT = "name", "datatype", "shape", "parameters", "data"
OUTPUT = "name", "parameters"
KINDS: dict[Any, str] = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
MOST = (1 << 63) - 1  # above it, an integer is unsigned


@dataclass(frozen=True, slots=True)
class Form:
    """Which outputs are wanted as bytes."""

    binary: bool = False
    outputs: Mapping[str, bool] | None = None

    def is_binary(self, name: str) -> bool:
        """Whether that output is."""
        return (self.outputs or {}).get(name, self.binary)


def read_request(body: bytes, length: str | None, model: str, version: str) -> tuple[oip.ModelInferRequest, Form]:
    """The request to a model, and how its answer is wanted. `length`: the header of that name.

    Raises `BadRequest` that names the field, `TooLarge`.
    """
    size = _length_of_json(body, length)
    head, taken = load_head(body[:size])
    head = _object(head, FIELDS, "")
    parameters, form = _object(head.pop("parameters", None), None, "parameters"), dict[str, bool]()
    inputs, outputs = _list(head.pop("inputs", None), "inputs"), _list(head.pop("outputs", None), "outputs")
    request = from_json(oip.ModelInferRequest, head)
    binary = bool(pop(parameters, "binary_data_output", bool))
    for field, wanted in (("model_name", model), ("model_version", version)):
        if getattr(request, field) not in ("", wanted):
            raise BadRequest(f"the path names {wanted or 'no version'}", field)
        setattr(request, field, wanted)
    _add_parameters(request.parameters, parameters, "parameters")
    blobs = memoryview(body)[size:]
    for place, given in enumerate(inputs):
        blobs = _add_input(request, _object(given, INPUT, f"inputs[{place}]"), taken, blobs, f"inputs[{place}]")
    if blobs:
        raise BadRequest(f"{len(blobs)} bytes are left after the tensors of all inputs", "inputs")
    for place, given in enumerate(outputs):
        _add_output(request, _object(given, OUTPUT, f"outputs[{place}]"), form, f"outputs[{place}]")
    return request, Form(binary, form)


def write_response(reply: oip.ModelInferResponse, form: Form) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON if bytes follow."""
    value: dict[str, Any] = {"model_name": reply.model_name, "model_version": reply.model_version}
    if reply.id:
        value["id"] = reply.id
    if reply.parameters:
        value["parameters"] = {name: _value(one) for name, one in sorted(reply.parameters.items())}
    blobs, outputs = list[bytes](), list[dict[str, Any]]()
    for output, raw in zip(reply.outputs, reply.raw_output_contents):
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if form.is_binary(output.name):
            entry["parameters"] = {"binary_data_size": len(raw)}
            blobs.append(raw)
        else:
            entry["data"] = _unpack(output.datatype, math.prod(output.shape), raw)
        outputs.append(entry)
    head = dump({**value, "outputs": outputs})
    return b"".join((head, *blobs)), len(head) if blobs else None


def _length_of_json(body: bytes, given: str | None) -> int:
    if given is None:
        return len(body)
    if not given.isdecimal() or len(given) > 12 or int(given) > len(body):
        raise BadRequest(f"{shorten(given)} is no length of JSON in a body of {len(body)} bytes", LENGTH)
    return int(given)


def _add_input(
    request: oip.ModelInferRequest, given: dict[str, Any], taken: Taken, blobs: memoryview, path: str
) -> memoryview:
    """Adds an input as raw bytes, and returns the blobs that are left."""
    data, parameters = given.pop("data", None), _object(given.pop("parameters", None), None, f"{path}.parameters")
    try:
        tensor = from_json(oip.ModelInferRequest.InferInputTensor, given)
    except TTAError as error:
        raise error.at(path) from None
    field = f"inputs.{tensor.name[:64]}"
    size = pop(parameters, "binary_data_size", int, field=f"{field}.parameters")
    _add_parameters(tensor.parameters, parameters, f"{field}.parameters")
    request.inputs.append(tensor)
    if size is not None:
        if data is not None:
            raise BadRequest("its data come in JSON or as bytes, not both", field)
        if not 0 <= size <= len(blobs):
            raise BadRequest(f"it has {size} bytes, and {len(blobs)} are left of the body", field)
        request.raw_input_contents.append(bytes(blobs[:size]))
        return blobs[size:]
    request.raw_input_contents.append(b"" if data is None else _pack(tensor, _list(data, field), taken, field))
    return blobs


def _pack(tensor: oip.ModelInferRequest.InferInputTensor, data: list[Any], taken: Taken, field: str) -> bytes:
    if tensor.datatype == "BYTES":
        count, elements = count_values(tensor.shape, field), pack_texts(data, taken, tensor.name == "image", field)
        check_count(len(elements), count, field)
        return join_bytes(elements)
    return pack_numbers(data, taken, field) if tensor.datatype == "UINT8" else b""  # no model takes others


def _add_output(request: oip.ModelInferRequest, given: dict[str, Any], form: dict[str, bool], path: str) -> None:
    parameters = _object(given.pop("parameters", None), None, f"{path}.parameters")
    try:
        output = from_json(oip.ModelInferRequest.InferRequestedOutputTensor, given)
    except TTAError as error:
        raise error.at(path) from None
    field = f"outputs.{output.name[:64]}.parameters"
    if (binary := pop(parameters, "binary_data", bool, field=field)) is not None:
        form[output.name] = binary
    _add_parameters(output.parameters, parameters, field)
    request.outputs.append(output)


def _add_parameters(parameters: Any, given: dict[str, Any], path: str) -> None:
    for name, value in given.items():
        kind = KINDS.get(type(value), "")
        if kind == "int64_param" and value > MOST:
            kind = "uint64_param"
        try:
            setattr(parameters[name], kind, value)
        except (AttributeError, ValueError):
            wanted = "a text, a number of 64 bits, true or false"
            raise BadRequest(f"a parameter is {wanted}, not {shorten(value)}", f"{path}.{name[:64]}") from None


def _object(value: Any, names: tuple[str, ...] | None, path: str) -> dict[str, Any]:
    """The object, an empty one for null. Raises `BadRequest` for others, and for names that are not in `names`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest("a JSON object is needed", path)
    for name in cast("dict[str, Any]", value):
        if names is not None and name not in names:
            raise BadRequest("there is no such field", f"{path}.{name[:60]}".lstrip("."))
    return cast("dict[str, Any]", value)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise BadRequest("a list is needed", path)
    return cast("list[Any]", value or [])


def _unpack(datatype: str, count: int, raw: bytes) -> list[str] | list[float]:
    if datatype == "BYTES":
        return [text.decode() for text in split_bytes(raw, count, "")]
    return np.frombuffer(raw, "<f4").tolist()


def _value(parameter: oip.InferParameter) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None
