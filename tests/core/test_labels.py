from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tta_service import LabelSet, TextSpace
from tta_service.core.errors import BadLabels, Unsupported


def test_equal_sets_share_an_id_and_order_matters():
    one = LabelSet(("cat", "dog"))
    assert one == LabelSet(("cat", "dog")) and one.id == LabelSet(("cat", "dog")).id
    assert hash(one) == hash(LabelSet(("cat", "dog")))
    others = [
        LabelSet(("dog", "cat")),
        LabelSet(("cat", "dog"), ("{}",)),
        LabelSet(("catdog",)),
        LabelSet(("cat,dog",)),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5
    assert len(one.id) == 32 and int(one.id, 16) >= 0


def test_the_id_tells_names_from_templates():
    assert LabelSet(("a", "b"), ("{}",)).id != LabelSet(("a",), ("b {}", "{}")).id


def test_sentences_change_the_id_and_a_set_without_any_keeps_its_id():
    plain, names = LabelSet(("cat", "dog")), ("cat", "dog")
    assert plain.id == "fb00f19ccfc78dd6fadea2df0ca4081d"
    for nothing in ((), ((), ()), {}, {"dog": ()}):
        assert LabelSet(names, sentences=nothing) == plain and LabelSet(names, sentences=nothing).id == plain.id
    taught = LabelSet(names, sentences=(("a pet that purrs",), ()))
    assert taught == LabelSet(names, sentences={"cat": ["a pet that purrs"]}) and taught.id != plain.id
    assert taught.id != LabelSet(names, sentences={"dog": ["a pet that purrs"]}).id
    assert (plain.prompt_count, taught.prompt_count) == (2, 3)


@pytest.mark.parametrize(
    "sentences, field",
    [
        ("purrs", "sentences"),
        ((("purrs",),), "sentences"),
        (("purrs", "barks"), "sentences[0]"),
        ((("purrs", " "), ()), "sentences[0][1]"),
        (((), (3,)), "sentences[1][0]"),
        ({"cow": ("moos",)}, "sentences"),
    ],
)
def test_invalid_sentences_are_refused_by_field(sentences, field):
    with pytest.raises(BadLabels) as refusal:
        LabelSet(("cat", "dog"), sentences=sentences)
    assert refusal.value.field == field


def test_any_unicode_has_an_id():
    assert len({LabelSet((name,)).id for name in ("Käse", "猫", "\ud800", "🐈")}) == 4


@pytest.mark.parametrize(
    "names, templates, field",
    [
        ((), ("{}",), "names"),
        (("cat",), (), "templates"),
        (("cat", " "), ("{}",), "names[1]"),
        (("cat", "__"), ("{}",), "names[1]"),
        (("cat", "dog", "cat"), ("{}",), "names[2]"),
        (("cat",), ("a photo",), "templates[0]"),
        (("cat",), ("{}", "{} and {}"), "templates[1]"),
        (("cat",), ("{0} {}",), "templates[0]"),
        (("cat",), ("{}}",), "templates[0]"),
    ],
)
def test_invalid_names_and_templates_are_refused_by_field(names, templates, field):
    with pytest.raises(BadLabels) as refusal:
        LabelSet(names, templates)
    assert refusal.value.field == field


def test_lists_are_accepted_and_a_single_text_is_refused():
    listed: Any = ["cat", "dog"]
    assert LabelSet(listed) == LabelSet(("cat", "dog")) and hash(LabelSet(listed)) == hash(LabelSet(("cat", "dog")))
    wrong: Any
    for wrong, message in (("cat", "names is a single text"), ((3, "cat"), "is a int, not a text")):
        with pytest.raises(BadLabels, match=message):
            LabelSet(wrong)
    wrong = "a photo of a {}."
    with pytest.raises(BadLabels, match="templates is a single text"):
        LabelSet(("cat",), wrong)


def test_a_duplicate_names_both_places():
    with pytest.raises(BadLabels, match="names 0 and 2 are both 'cat'"):
        LabelSet(("cat", "dog", "cat"))


IDS = {  # must never change, because clients store them
    "fb00f19ccfc78dd6fadea2df0ca4081d": LabelSet(("cat", "dog")),
    "65cd8a66b2f0f5494ac5aab90349c620": LabelSet(("dog", "cat")),
    "b0d36aa301b05dc9dbe9a0b12b185261": LabelSet(("Käse", "猫", "red_car"), ("{}", "a {} here")),
    "0a533714e67eb4dc8b22fe7c6cb2ab2c": LabelSet(("\ud800",)),
    "13685c9af645ceca170140e40b181c2f": LabelSet(tuple(f"class {i}" for i in range(1000))),
}


@pytest.mark.parametrize("id", IDS)
def test_ids_do_not_change(id):
    labels = IDS[id]
    again = LabelSet(labels.names, labels.templates, allow_duplicates=True)
    assert labels.id == again.id == id
    assert labels == again and hash(labels) == hash(again)


def test_duplicates_are_accepted_with_allow_duplicates():
    twins = LabelSet(("crane", "missile", "crane"), allow_duplicates=True)
    assert twins.prompts("a {}.") == ["a crane.", "a missile.", "a crane."]
    assert len({twins.id, LabelSet(("crane", "missile")).id, LabelSet(("missile", "crane")).id}) == 3
    assert replace(twins, templates=("{}",)).names == twins.names
    with pytest.raises(BadLabels, match=r"names 0 and 2 are both 'crane'.*allow_duplicates") as refusal:
        LabelSet(twins.names)
    assert refusal.value.field == "names[2]"
    with pytest.raises(BadLabels, match="name 1 is empty"):
        LabelSet(("crane", "_", "_"), allow_duplicates=True)


def test_underscores_are_spaces_and_braces_in_names_are_letters():
    labels = LabelSet(("red_car", "a {} b"), ("a {}.",))
    assert labels.prompts("a {}.") == ["a red car.", "a a {} b."]


def test_a_space_of_raw_tensors():
    text = TextSpace.of(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), 50)
    torch.testing.assert_close(text.features, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
    assert text.scale == 50.0 and len(text.labels.names) == 2 and text.bytes == 16
    with pytest.raises(Unsupported):
        _ = text.prompts
    with pytest.raises(Unsupported):
        text.embed(["cat"])


def test_prompts_are_made_once():
    made = []
    text = TextSpace(LabelSet(("cat",)), torch.eye(1), make_prompts=lambda: made.append(1) or object())  # type: ignore
    assert text.prompts is text.prompts and made == [1]
