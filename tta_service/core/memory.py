"""Memories as named tensors. They are copied, counted, moved and rebuilt in the same way for every strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor

Memory = TypeVar("Memory")


def tensors(memory: Any) -> dict[str, Tensor]:
    """The tensors of a memory by field name; empty for None. Those of a memory within it are `field.name`.

    Raises TypeError when a field holds anything else.
    """
    named: dict[str, Tensor] = {}
    for name, value in _fields(memory).items():
        if isinstance(value, Tensor):
            named[name] = value
        elif _is_memory(value):
            named |= {f"{name}.{inner}": tensor for inner, tensor in tensors(value).items()}
        else:
            raise TypeError(f"{type(memory).__name__}.{name} is a {type(value).__name__}, not a tensor")
    return named


def with_tensors(memory: Memory, values: Mapping[str, Tensor]) -> Memory:
    """The same memory with other tensors in the place of those that `values` names; the rest stays."""
    if memory is None:
        return memory
    new: dict[str, Any] = {}
    for name, value in _fields(memory).items():
        within = {key.removeprefix(f"{name}."): one for key, one in values.items() if key.startswith(f"{name}.")}
        new[name] = values.get(name, value) if isinstance(value, Tensor) else with_tensors(value, within)
    return type(memory)(**new)


def nbytes(memory: Any) -> int:
    """Bytes of all tensors of a memory; 0 for None."""
    return sum(one.nbytes if isinstance(one, Tensor) else nbytes(one) for one in _fields(memory).values())


def map_tensors(memory: Memory, move: Callable[[Tensor], Tensor]) -> Memory:
    """The same memory with `move` applied to each tensor: `map_tensors(memory, Tensor.clone)` is a copy."""
    return with_tensors(memory, {name: move(tensor) for name, tensor in tensors(memory).items()})


def fill(memory: Memory, values: Mapping[str, Tensor]) -> Memory:
    """A memory of the structure of `memory` (from `begin`) with the contents `values`.

    Raises ValueError when names, shapes or types differ, naming the tensor.
    """
    own = tensors(memory)
    if own.keys() != values.keys():
        raise ValueError(f"holds {sorted(values)} where {sorted(own)} is expected")
    for name, tensor in own.items():
        other = values[name]
        if other.shape != tensor.shape or other.dtype != tensor.dtype:
            raise ValueError(
                f"{name} is {other.dtype} {tuple(other.shape)} where {tensor.dtype} {tuple(tensor.shape)} is expected"
            )
    return with_tensors(memory, {name: values[name].to(tensor.device).clone() for name, tensor in own.items()})


def _is_memory(value: Any) -> bool:
    return value is None or hasattr(value, "_asdict") or is_dataclass(value)


def _fields(memory: Any) -> dict[str, Any]:
    if memory is None:
        return {}
    if hasattr(memory, "_asdict"):
        return memory._asdict()
    if is_dataclass(memory):
        return {one.name: getattr(memory, one.name) for one in fields(memory)}
    raise TypeError(f"a memory is a NamedTuple or a dataclass of tensors, not a {type(memory).__name__}")
