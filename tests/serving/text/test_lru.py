"""Which text spaces stay, by bytes and by what backward passes keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tta_service import LabelSet
from tta_service.serving.text.entry import CacheEntry
from tta_service.serving.text.lru import TextSpaceLRU
from tta_service.testing import FakeCLIP


class Offset(NamedTuple):
    """A memory."""

    offset: torch.Tensor


CLIP = FakeCLIP(dimension=16)  # 64 bytes a class


def shelf(*names: str) -> CacheEntry:
    return CacheEntry(CLIP.text_space(LabelSet(names)))


def test_the_least_recently_used_makes_room():
    shelves = TextSpaceLRU(max_bytes=6 * 64, max_activations=0)
    for id in ("x", "y"):
        shelves.put(id, shelf("a", "b", id))
    assert shelves.get("x") is not None and shelves.peek("y") is not None
    shelves.put("z", shelf("a", "b", "c"))
    assert ["x" in shelves, "y" in shelves, "z" in shelves] == [True, False, True]
    assert (len(shelves), shelves.bytes, shelves.evicted) == (2, 6 * 64, 1)
    assert shelves.get("y") is None and shelves.peek("y") is None


def test_the_newest_stays_however_large_and_nobody_is_dropped_twice():
    shelves = TextSpaceLRU(max_bytes=1, max_activations=0)
    for id in ("x", "y"):
        shelves.put(id, shelf("a", "b"))
        assert (len(shelves), shelves.bytes) == (1, 2 * 64)
    shelves.drop("y")
    shelves.drop("y")
    assert (len(shelves), shelves.bytes, shelves.evicted) == (0, 0, 1)


def test_a_shelf_that_has_grown_is_weighed_again():
    shelves = TextSpaceLRU(max_bytes=5 * 64, max_activations=0)
    older, newer = shelf("a", "b"), shelf("a", "b")
    shelves.put("x", older)
    shelves.put("y", newer)
    strategy: Any = "of whatever strategy"
    newer.memories[strategy] = Offset(torch.zeros(2 * 16))
    shelves.evict(newer)
    assert "x" not in shelves and shelves.bytes == 4 * 64


@dataclass
class Kept:
    """A text space after its backward pass."""

    activations: int
    bytes: int = 0

    def forget_activations(self) -> None:
        self.activations = 0


def test_activations_of_others_go_first_and_the_newest_keeps_its_own():
    shelves, spaces = TextSpaceLRU(1 << 20, max_activations=100), {id: Kept(60) for id in ("x", "y", "z")}
    for id, space in spaces.items():
        given: Any = space
        shelves.put(id, CacheEntry(given))
    assert shelves.get("x") is not None
    shelves.backward_done("y")  # least recently used are y, z, x
    assert {id: space.activations for id, space in spaces.items()} == {"x": 0, "y": 60, "z": 0}
    assert shelves.activations == 60
