"""Label sets belong to the owners who put them; their features are shared."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.serving.harness import LABELS
from tta_service import LabelSet
from tta_service.clip.load import load
from tta_service.core.errors import BadLabels, UnknownLabels
from tta_service.serving.text.cache import TextSpaceCache
from tta_service.serving.text.label_sets import LabelSets
from tta_service.testing import FakeCLIP

OTHER, THIRD = LabelSet(("a", "b")), LabelSet(("c", "d", "e"))
CLASS_BYTES = 64  # of FakeCLIP's features


@pytest.fixture
def lane() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "tta-tune") as lane:
        yield lane


@pytest.fixture
def spaces(lane: ThreadPoolExecutor) -> TextSpaceCache:
    return TextSpaceCache(FakeCLIP(dimension=16).text_space, lane, lane, max_bytes=8 * CLASS_BYTES)


async def test_definitions_have_a_bound_for_each_owner(spaces: TextSpaceCache):
    sets = LabelSets(spaces, most=2)
    await sets.put("bob", OTHER)
    for labels in (LABELS, OTHER):
        await sets.put("ann", labels)
    sets.labels("ann", LABELS.id)
    await sets.put("ann", THIRD)
    assert {held.labels for held in sets.list("ann")} == {LABELS, THIRD}
    with pytest.raises(UnknownLabels) as unknown:
        sets.labels("ann", OTHER.id)
    assert unknown.value.field == "labels.id" and "register it again" in str(unknown.value)
    with pytest.raises(UnknownLabels, match="names of classes are a list"):
        sets.labels("ann", "cat")
    assert sets.labels("bob", OTHER.id) == OTHER


async def test_a_set_registered_again_is_one_and_the_most_recent(spaces: TextSpaceCache):
    sets = LabelSets(spaces, most=2)
    for labels in (LABELS, OTHER, LABELS, THIRD):
        await sets.put("", labels)
    assert {held.labels for held in sets.list("")} == {LABELS, THIRD} and len(sets) == 2


async def test_definitions_are_listed_in_the_order_of_their_ids(spaces: TextSpaceCache):
    sets = LabelSets(spaces)
    for labels in (LABELS, OTHER, THIRD):
        await sets.put("", labels)
    assert [held.labels.id for held in sets.list("")] == sorted(labels.id for labels in (LABELS, OTHER, THIRD))


async def test_a_definition_outlives_its_features(spaces: TextSpaceCache):
    sets = LabelSets(spaces)
    for labels in (OTHER, LABELS, THIRD):  # 2 + 5 + 3 classes are too many
        await sets.put("", labels)
    assert {held.labels: held.cached for held in sets.list("")} == {LABELS: True, OTHER: False, THIRD: True}
    assert sets.find("", OTHER.id).bytes == 0 and sets.labels("", OTHER.id) == OTHER


async def test_only_an_owner_finds_lists_and_deletes_a_set(spaces: TextSpaceCache):
    sets = LabelSets(spaces)
    await sets.put("ann", LABELS)
    for attack in (sets.labels, sets.find, sets.delete):
        with pytest.raises(UnknownLabels):
            attack("bob", LABELS.id)
    assert sets.list("bob") == () and sets.find("ann", LABELS.id).cached


async def test_features_stay_until_the_last_owner_deletes_the_set(spaces: TextSpaceCache):
    sets = LabelSets(spaces)
    for owner in ("ann", "bob"):
        await sets.put(owner, LABELS)
    sets.delete("ann", LABELS.id)
    with pytest.raises(UnknownLabels):
        sets.labels("ann", LABELS.id)
    assert sets.labels("bob", LABELS.id) == LABELS and LABELS in spaces
    sets.delete("bob", LABELS.id)
    with pytest.raises(UnknownLabels):
        sets.delete("bob", LABELS.id)
    assert LABELS not in spaces and len(sets) == spaces.counters.bytes == 0


async def test_a_set_that_cannot_be_encoded_is_not_registered(lane: ThreadPoolExecutor):
    def refuse(labels: LabelSet) -> None:
        raise BadLabels("too long", "names[3]")

    sets = LabelSets(TextSpaceCache(refuse, lane, lane))  # type: ignore[arg-type]
    with pytest.raises(BadLabels):
        await sets.put("", LABELS)
    assert sets.list("") == ()


async def test_a_set_takes_what_backward_passes_keep_for_it(lane: ThreadPoolExecutor):
    spaces = TextSpaceCache(load().text_space, lane, lane)
    sets = LabelSets(spaces)
    before, space = await sets.put("", OTHER), await spaces.get(OTHER)
    space.prompts.gradient(torch.ones_like(space.features))
    assert sets.find("", OTHER.id).bytes == before.bytes + space.activations > before.bytes
