"""Definitions by id: bounded, and the least recently named one goes."""

from __future__ import annotations

import pytest

from tta_service import LabelSet
from tta_service.core.errors import UnknownLabels
from tta_service.serving.text.label_sets import LabelSetRegistry

ONE, TWO, THREE = (LabelSet((name, "other")) for name in ("a", "b", "c"))


def test_the_least_recently_named_goes_first():
    held = LabelSetRegistry(2)
    held.register(ONE)
    held.register(TWO)
    assert held.get(ONE.id) == ONE
    held.register(THREE)
    assert set(held.all()) == {ONE, THREE} and len(held) == 2
    with pytest.raises(UnknownLabels) as unknown:
        held.get(TWO.id)
    assert unknown.value.field == "labels.id"


def test_kept_again_it_is_one_and_new():
    held = LabelSetRegistry(2)
    for labels in (ONE, TWO, ONE, THREE):
        held.register(labels)
    assert set(held.all()) == {ONE, THREE}


def test_they_are_told_in_the_order_of_their_ids_and_forgotten_once():
    held = LabelSetRegistry(9)
    for labels in (ONE, TWO, THREE):
        held.register(labels)
    assert [labels.id for labels in held.all()] == sorted(labels.id for labels in (ONE, TWO, THREE))
    held.delete(TWO.id)
    with pytest.raises(UnknownLabels):
        held.delete(TWO.id)
    assert len(held) == 2
