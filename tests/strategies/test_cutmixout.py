from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tta_service import Evidence, LabelSet, TextSpace
from tta_service.core.errors import Unsupported
from tta_service.core.memory import nbytes
from tta_service.maths import unit
from tta_service.strategies.cutmixout import CutMixOut, words
from tta_service.testing import FakeCLIP

NAMES = ("cat", "fire_engine", "a dog's bowl, large", "X")
TEMPLATES = ("a photo of a {}.", "it is the {}, seen in a dark and rainy street at night", "{}", "art: a small ({})!")
ONE, MANY = LabelSet(NAMES), LabelSet(NAMES, TEMPLATES)
ALONE = LabelSet(NAMES[1:2], TEMPLATES)
CLIP = FakeCLIP()


def literally(o: CutMixOut, labels: LabelSet, c: int) -> list[str]:
    """Step by step; protected words are found by counting words, not letters."""
    ordered = sorted(labels.names)
    drawn = LabelSet(tuple(ordered), labels.templates, allow_duplicates=True).id
    name = labels.names[c].replace("_", " ")
    originals, marked = [], []
    for template in labels.templates:
        left, right = template.split("{}")
        originals.append(left + name + right)
        total = originals[-1].split()
        first = len(left.split()) - (0 if left[-1:] in ("", " ") else 1)
        last = len(total) - len(right.split()) + (0 if right[:1] in ("", " ") else 1)
        marked.append([(word, o.protect_names and first <= i < last) for i, word in enumerate(total)])
    texts, m = list(originals), len(originals)
    for r in range(o.copies):
        rng = random.Random(f"{drawn}/{ordered.index(labels.names[c])}/{r}")
        a = list(marked[r % m])
        u_mix, u_out = rng.random(), rng.random()
        len_mix = max(1, int(rng.uniform(0.1, o.span) * len(a)))
        len_out = max(1, int(rng.uniform(0.1, o.span) * len(a)))
        if m >= 2:
            b = rng.choice([marked[i] for i in range(m) if i != r % m])
            length = min(len_mix, len(a), len(b))
            i, j = rng.randrange(len(a) - length + 1), rng.randrange(len(b) - length + 1)
            for k in range(length):
                if u_mix < o.p_cutmix and not a[i + k][1] and not b[j + k][1]:
                    a[i + k] = b[j + k]
        length = min(len_out, len(a) - 1)
        i = rng.randrange(len(a) - length + 1)
        kept = [word for k, word in enumerate(a) if word[1] or not i <= k < i + length]
        if u_out < o.p_cutout and kept:
            a = kept
        texts.append(" ".join(word for word, _ in a))
    return texts


@pytest.mark.parametrize("labels", [ONE, MANY, ALONE], ids=["one template", "many", "one class"])
@pytest.mark.parametrize(
    "strategy",
    [
        CutMixOut(),
        CutMixOut(copies=40, span=1.0),
        CutMixOut(copies=40, p_cutmix=1.0, p_cutout=0.0),
        CutMixOut(copies=40, p_cutmix=0.0, p_cutout=1.0, span=0.9),
        CutMixOut(copies=64, p_cutmix=1.0, p_cutout=1.0, span=1.0, protect_names=False),
        CutMixOut(copies=0),
        CutMixOut(span=0.05),
    ],
)
def test_equals_the_recipe(labels, strategy):
    memory = strategy.begin(CLIP.text_space(labels))
    for c in range(len(labels.names)):
        texts = literally(strategy, labels, c)
        assert strategy.texts(labels, c) == texts
        each = torch.cat([CLIP.text_space(LabelSet((text,), ("{}",))).features for text in texts]).double()
        torch.testing.assert_close(memory.features[c].double(), unit(each.mean(0)), atol=1e-5, rtol=0)


def test_a_thousand_classes():
    labels = LabelSet(tuple(f"thing {c}" for c in range(1000)), ("a photo of a {}.",))
    strategy, text = CutMixOut(copies=2), CLIP.text_space(labels)
    memory = strategy.begin(text)
    for c in (0, 499, 999):
        texts = literally(strategy, labels, c)
        each = torch.cat([CLIP.text_space(LabelSet((one,), ("{}",))).features for one in texts]).double()
        torch.testing.assert_close(memory.features[c].double(), unit(each.mean(0)), atol=1e-5, rtol=0)
    view = unit(torch.randn(1, 64, generator=torch.Generator().manual_seed(0)))
    logits, _ = strategy.adapt(Evidence(view, text), memory)
    torch.testing.assert_close(logits.double(), 100 * memory.features.double() @ view[0].double(), atol=1e-2, rtol=0)
    assert nbytes(memory) == 1000 * 64 * 4


def test_without_changes_one_template_is_itself():
    text = CLIP.text_space(ONE)
    memory = CutMixOut(p_cutout=0.0, p_cutmix=0.0).begin(text)
    torch.testing.assert_close(memory.features, text.features, atol=1e-6, rtol=0)


def test_protected_names_stay_whole():
    strategy = CutMixOut(copies=64, p_cutout=1.0, p_cutmix=1.0, span=1.0)
    for c, name in enumerate(NAMES):
        texts = strategy.texts(MANY, c)
        assert all(name.replace("_", " ") in text for text in texts)
        assert len(set(texts)) > 20
    bare = [text for c in range(4) for text in CutMixOut(copies=64, span=1.0, protect_names=False).texts(MANY, c)]
    assert any("fire engine" not in text and "engine" in text for text in bare)
    assert all(bare)


def test_words_that_touch_the_name_are_protected_with_it():
    assert words("art: a small ({})!", "red_cat", protected=True) == [
        ("art:", False),
        ("a", False),
        ("small", False),
        ("(red", True),
        ("cat)!", True),
    ]


def test_the_same_set_gives_the_same_texts_and_another_does_not():
    strategy = CutMixOut(copies=20)
    again = LabelSet(NAMES, TEMPLATES)
    assert strategy.texts(MANY, 1) == strategy.texts(again, 1)
    assert strategy.texts(MANY, 1) != strategy.texts(LabelSet((*NAMES, "fox"), TEMPLATES), 1)


@given(st.lists(st.sampled_from([*NAMES, "dog", "zebra"]), min_size=1, max_size=8), st.randoms())
def test_in_another_order_the_names_have_the_same_prototypes(names, draw):
    places = draw.sample(range(len(names)), len(names))
    labels = LabelSet(tuple(names), TEMPLATES, allow_duplicates=True)
    moved = LabelSet(tuple(names[place] for place in places), TEMPLATES, allow_duplicates=True)
    strategy = CutMixOut(copies=4, span=1.0)
    assert [strategy.texts(moved, c) for c in range(len(names))] == [strategy.texts(labels, place) for place in places]
    one, other = (strategy.begin(CLIP.text_space(some)) for some in (labels, moved))
    assert torch.equal(other.features, one.features[places])
    view = Evidence(unit(torch.randn(1, 64)), CLIP.text_space(labels))
    (logits, _), (again, _) = strategy.adapt(view, one), strategy.adapt(view, other)
    torch.testing.assert_close(again, logits[places])


def test_the_probabilities_draw_independently():
    """Cuts lie where they lay, whether words are mixed or not."""
    cut, both = (CutMixOut(copies=40, p_cutout=1.0, p_cutmix=p).texts(MANY, 0) for p in (0.0, 1.0))
    assert [len(text.split()) for text in cut] == [len(text.split()) for text in both]


def test_the_answer_is_the_plain_view_against_the_prototypes():
    text, strategy = CLIP.text_space(MANY), CutMixOut()
    memory = strategy.begin(text)
    views = unit(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)))
    logits, after = strategy.adapt(Evidence(views, text), memory)
    torch.testing.assert_close(logits, 100 * memory.features @ views[0])
    assert after is memory
    assert nbytes(memory) == 4 * 64 * 4


def test_raw_tensors_have_no_words():
    with pytest.raises(Unsupported):
        CutMixOut().begin(TextSpace.of(torch.eye(3)))
