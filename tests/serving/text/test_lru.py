"""Which text spaces stay cached, by their bytes and by their activations."""

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


def make_entry(*names: str) -> CacheEntry:
    return CacheEntry(CLIP.text_space(LabelSet(names)))


def test_the_least_recently_used_makes_room():
    entries = TextSpaceLRU(max_bytes=6 * 64, max_activations=0)
    for id in ("x", "y"):
        entries.put(id, make_entry("a", "b", id))
    assert entries.get("x") is not None and entries.peek("y") is not None
    entries.put("z", make_entry("a", "b", "c"))
    assert ["x" in entries, "y" in entries, "z" in entries] == [True, False, True]
    assert (len(entries), entries.bytes, entries.evicted) == (2, 6 * 64, 1)
    assert entries.get("y") is None and entries.peek("y") is None


def test_the_newest_stays_however_large_and_none_is_dropped_twice():
    entries = TextSpaceLRU(max_bytes=1, max_activations=0)
    for id in ("x", "y"):
        entries.put(id, make_entry("a", "b"))
        assert (len(entries), entries.bytes) == (1, 2 * 64)
    entries.drop("y")
    entries.drop("y")
    assert (len(entries), entries.bytes, entries.evicted) == (0, 0, 1)


def test_an_entry_that_has_grown_is_measured_again():
    entries = TextSpaceLRU(max_bytes=5 * 64, max_activations=0)
    older, newer = make_entry("a", "b"), make_entry("a", "b")
    entries.put("x", older)
    entries.put("y", newer)
    strategy: Any = "of whatever strategy"
    newer.memories[strategy] = Offset(torch.zeros(2 * 16))
    entries.evict(newer)
    assert "x" not in entries and entries.bytes == 4 * 64


@dataclass
class Kept:
    """A text space after its backward pass."""

    activations: int
    bytes: int = 0

    def forget_activations(self) -> None:
        self.activations = 0


def test_activations_of_others_go_first_and_the_newest_keeps_its_own():
    entries, spaces = TextSpaceLRU(1 << 20, max_activations=100), {id: Kept(60) for id in ("x", "y", "z")}
    for id, space in spaces.items():
        given: Any = space
        entries.put(id, CacheEntry(given))
    assert entries.get("x") is not None
    entries.backward_done("y")  # least recently used are y, z, x
    assert {id: space.activations for id, space in spaces.items()} == {"x": 0, "y": 60, "z": 0}
    assert entries.activations == 60
