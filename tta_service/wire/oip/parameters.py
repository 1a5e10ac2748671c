"""The parameters of an inference request: plain values, and the options of `Classify` that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import BadRequest
from ...core.parameters import shorten
from ..v1 import open_inference_pb2 as oip
from ..v1 import tta_pb2 as pb
from ..well_known import to_value

MOST = 256  # parameters of a request or of an output
Value = bool | int | float | str
KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
ON_DEADLINE = {"degrade": pb.ON_DEADLINE_DEGRADE, "fail": pb.ON_DEADLINE_FAIL}
KNOWN = (
    "strategy, strategy.…, reducer, reducer.…, labels, label_set, template, top_k, seed, guard, ask, on_deadline, "
    "lesson_group, timeout, sequence_id, sequence_start, sequence_end"
)


def values_of(parameters: Mapping[str, oip.InferParameter]) -> dict[str, Any]:
    """The values by name, without those that have none and those that are for Triton alone. Raises `BadRequest`."""
    check_number(parameters)
    given = {name: one for name, one in parameters.items() if not name.startswith("triton_") and name != "priority"}
    kinds = {name: one.WhichOneof("parameter_choice") for name, one in given.items()}
    return {name: getattr(given[name], kind) for name, kind in kinds.items() if kind}


def check_number(parameters: Mapping[str, oip.InferParameter]) -> None:
    """Raises `BadRequest` for too many of them."""
    if len(parameters) > MOST:
        raise BadRequest(f"{len(parameters)} parameters; there are at most {MOST}", "parameters")


def pop(values: dict[str, Any], name: str, *kinds: type, field: str = "parameters") -> Any:
    """Takes a value of one of these kinds out of `values`; None when it is not there. Raises `BadRequest`."""
    value = values.pop(name, None)
    if value is not None and type(value) not in kinds:
        wanted = " or ".join(KINDS[kind] for kind in kinds)
        raise BadRequest(f"it takes {wanted}, not {shorten(value)}", f"{field}.{name}")
    return value


def fill_options(request: pb.ClassifyRequest, values: dict[str, Any], choose: bool, strategy: bool) -> None:
    """Moves what `values` say about how to answer into the request; nothing may be left then.

    `choose`: the parameter `strategy` may choose one. `strategy`: there is one that parameters may be about. Raises
    `BadRequest`.
    """
    options = request.options
    if choose:
        options.strategy.name = pop(values, "strategy", str) or ""
    if strategy:
        _fill_choice(options.strategy, values, "strategy.")
        for name, kind in {"top_k": int, "seed": int, "guard": bool, "ask": bool}.items():
            _set(options, name, pop(values, name, kind))
        request.lesson_group = pop(values, "lesson_group", str) or ""
    options.reduction.reducer.name = pop(values, "reducer", str) or ""
    _fill_choice(options.reduction.reducer, values, "reducer.")
    policy = pop(values, "on_deadline", str) or "degrade"
    if policy not in ON_DEADLINE:
        raise BadRequest(f"{shorten(policy)} is not degrade or fail", "parameters.on_deadline")
    options.on_deadline = ON_DEADLINE[policy]
    if values:
        name = min(values)
        raise BadRequest(f"this model has no such parameter; there are {KNOWN}", f"parameters.{name[:64]}")


def _fill_choice(choice: pb.Choice, values: dict[str, Any], prefix: str) -> None:
    for name in [name for name in values if name.startswith(prefix)]:
        choice.parameters.fields[name.removeprefix(prefix)].CopyFrom(to_value(values.pop(name)))


def _set(options: pb.Options, name: str, value: Value | None) -> None:
    if value is None:
        return
    try:
        setattr(options, name, value)
    except ValueError:
        raise BadRequest(f"{value} is out of its range", f"parameters.{name}") from None
