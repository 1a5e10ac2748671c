"""Memories as named tensors. They are copied, counted, moved and rebuilt in the same way for every strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor

Memory = TypeVar("Memory")


def tensors(memory: Any) -> dict[str, Tensor]:
    """The tensors of a memory by field name; empty for None. Raises TypeError when a field holds anything else."""
    if memory is None:
        return {}
    named = memory._asdict() if hasattr(memory, "_asdict") else _of_dataclass(memory)
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{type(memory).__name__}.{name} is a {type(value).__name__}, not a tensor")
    return named


def nbytes(memory: Any) -> int:
    """Bytes of all tensors of a memory; 0 for None."""
    return sum(tensor.nbytes for tensor in tensors(memory).values())


def map_tensors(memory: Memory, move: Callable[[Tensor], Tensor]) -> Memory:
    """The same memory with `move` applied to each tensor: `map_tensors(memory, Tensor.clone)` is a copy."""
    return memory if memory is None else type(memory)(**{k: move(v) for k, v in tensors(memory).items()})


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
    return memory if memory is None else type(memory)(**{k: values[k].to(v.device).clone() for k, v in own.items()})


def _of_dataclass(memory: Any) -> dict[str, Any]:
    if not is_dataclass(memory):
        raise TypeError(f"a memory is a NamedTuple or a dataclass of tensors, not a {type(memory).__name__}")
    return {field.name: getattr(memory, field.name) for field in fields(memory)}
