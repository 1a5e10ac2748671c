"""Definitions by id: bounded, and the least recently used one is dropped."""

from __future__ import annotations

import pytest

from tta_service import LabelSet
from tta_service.core.errors import UnknownLabels
from tta_service.serving.text.label_sets import LabelSetRegistry

ONE, TWO, THREE = (LabelSet((name, "other")) for name in ("a", "b", "c"))


def test_the_least_recently_used_is_dropped_first():
    registry = LabelSetRegistry(2)
    registry.register(ONE)
    registry.register(TWO)
    assert registry.get(ONE.id) == ONE
    registry.register(THREE)
    assert set(registry.all()) == {ONE, THREE} and len(registry) == 2
    with pytest.raises(UnknownLabels) as unknown:
        registry.get(TWO.id)
    assert unknown.value.field == "labels.id"


def test_a_set_registered_again_is_one_and_the_most_recent():
    registry = LabelSetRegistry(2)
    for labels in (ONE, TWO, ONE, THREE):
        registry.register(labels)
    assert set(registry.all()) == {ONE, THREE}


def test_they_are_listed_in_the_order_of_their_ids_and_deleted_once():
    registry = LabelSetRegistry(9)
    for labels in (ONE, TWO, THREE):
        registry.register(labels)
    assert [labels.id for labels in registry.all()] == sorted(labels.id for labels in (ONE, TWO, THREE))
    registry.delete(TWO.id)
    with pytest.raises(UnknownLabels):
        registry.delete(TWO.id)
    assert len(registry) == 2
