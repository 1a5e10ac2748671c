"""Definitions by id: bounded, and the least recently named one goes."""

from __future__ import annotations

import pytest

from tta_service import LabelSet
from tta_service.core.errors import UnknownLabels
from tta_service.serving.text.label_sets import Definitions

ONE, TWO, THREE = (LabelSet((name, "other")) for name in ("a", "b", "c"))


def test_the_least_recently_named_goes_first():
    held = Definitions(2)
    held.keep(ONE)
    held.keep(TWO)
    assert held.named(ONE.id) == ONE
    held.keep(THREE)
    assert set(held.all()) == {ONE, THREE} and len(held) == 2
    with pytest.raises(UnknownLabels) as unknown:
        held.named(TWO.id)
    assert unknown.value.field == "labels.id"


def test_kept_again_it_is_one_and_new():
    held = Definitions(2)
    for labels in (ONE, TWO, ONE, THREE):
        held.keep(labels)
    assert set(held.all()) == {ONE, THREE}


def test_they_are_told_in_the_order_of_their_ids_and_forgotten_once():
    held = Definitions(9)
    for labels in (ONE, TWO, THREE):
        held.keep(labels)
    assert [labels.id for labels in held.all()] == sorted(labels.id for labels in (ONE, TWO, THREE))
    held.forget(TWO.id)
    with pytest.raises(UnknownLabels):
        held.forget(TWO.id)
    assert len(held) == 2
