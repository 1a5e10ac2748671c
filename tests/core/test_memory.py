from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tta_service.core.memory import fill, map_tensors, nbytes, tensors


class Shelf(NamedTuple):
    books: Tensor
    count: Tensor


@dataclass
class Drawer:
    spoons: Tensor


def shelf() -> Shelf:
    return Shelf(torch.arange(6.0).view(2, 3), torch.tensor(2))


def test_tensors_by_name():
    assert list(tensors(shelf())) == ["books", "count"] and list(tensors(Drawer(torch.ones(1)))) == ["spoons"]
    assert tensors(None) == {}


def test_bytes_are_those_of_all_tensors():
    assert nbytes(shelf()) == 6 * 4 + 8 and nbytes(None) == 0


def test_a_moved_memory_is_of_the_same_kind():
    one = shelf()
    copy = map_tensors(one, Tensor.clone)
    one.books.zero_()
    assert isinstance(copy, Shelf) and copy.books.sum() == 15 and map_tensors(None, Tensor.clone) is None
    assert isinstance(map_tensors(Drawer(torch.ones(1)), Tensor.double), Drawer)


def test_filled_copies_values_of_the_same_structure():
    values = {name: tensor + 1 for name, tensor in tensors(shelf()).items()}
    memory = fill(shelf(), values)
    values["books"].zero_()
    assert memory.books.sum() == 21 and int(memory.count) == 3 and fill(None, {}) is None


@pytest.mark.parametrize(
    "change, said",
    [
        ({"books": torch.zeros(3, 2)}, r"books is torch.float32 \(3, 2\) where torch.float32 \(2, 3\)"),
        ({"books": torch.zeros(2, 3).double()}, "books is torch.float64"),
        ({"extra": torch.zeros(1)}, "extra"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        fill(shelf(), tensors(shelf()) | change)


def test_a_memory_is_made_of_tensors():
    with pytest.raises(TypeError, match="count is a int"):
        tensors(Shelf(torch.ones(1), 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a NamedTuple or a dataclass"):
        tensors([torch.ones(1)])
