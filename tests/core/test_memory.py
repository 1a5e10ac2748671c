from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tta_service.core.memory import fill, map_tensors, nbytes, tensors


class Pair(NamedTuple):
    features: Tensor
    count: Tensor


@dataclass
class Single:
    mean: Tensor


def pair() -> Pair:
    return Pair(torch.arange(6.0).view(2, 3), torch.tensor(2))


def test_tensors_by_name():
    assert list(tensors(pair())) == ["features", "count"] and list(tensors(Single(torch.ones(1)))) == ["mean"]
    assert tensors(None) == {}


def test_bytes_are_those_of_all_tensors():
    assert nbytes(pair()) == 6 * 4 + 8 and nbytes(None) == 0


def test_map_tensors_keeps_the_type():
    one = pair()
    copy = map_tensors(one, Tensor.clone)
    one.features.zero_()
    assert isinstance(copy, Pair) and copy.features.sum() == 15 and map_tensors(None, Tensor.clone) is None
    assert isinstance(map_tensors(Single(torch.ones(1)), Tensor.double), Single)


def test_fill_copies_values_of_the_same_structure():
    values = {name: tensor + 1 for name, tensor in tensors(pair()).items()}
    memory = fill(pair(), values)
    values["features"].zero_()
    assert memory.features.sum() == 21 and int(memory.count) == 3 and fill(None, {}) is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features": torch.zeros(3, 2)}, r"features is torch.float32 \(3, 2\) where torch.float32 \(2, 3\)"),
        ({"features": torch.zeros(2, 3).double()}, "features is torch.float64"),
        ({"extra": torch.zeros(1)}, "extra"),
    ],
)
def test_fill_names_the_tensor_that_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        fill(pair(), tensors(pair()) | change)


def test_a_memory_is_made_of_tensors():
    with pytest.raises(TypeError, match="count is a int"):
        tensors(Pair(torch.ones(1), 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a NamedTuple or a dataclass"):
        tensors([torch.ones(1)])
