from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from tests.clip.small import small
from tta_service.clip.text.templates import expand_templates
from tta_service.core.errors import BadLabels
from tta_service.core.labels import LabelSet
from tta_service.testing import FakeCLIP


def test_a_set_stands_for_its_templates_each_once():
    openai, simple = expand_templates(["openai"]), expand_templates(["simple"])
    assert (len(openai), len(simple)) == (80, 7) and set(simple) < set(openai)
    assert all(template.count("{}") == 1 for template in openai)
    assert expand_templates(["simple", "openai"]) == tuple(dict.fromkeys(simple + openai))
    assert expand_templates(["a {}", "simple"]) == ("a {}", *simple) and expand_templates(["a {}"]) == ("a {}",)
    with pytest.raises(BadLabels, match="openai, simple") as refused:
        expand_templates(["a {}", "Openai"])
    assert refused.value.field == "templates[1]"


@pytest.mark.parametrize("clip", [small(text={"context_length": 24}), FakeCLIP()])
def test_a_class_is_the_mean_of_its_templates_and_its_own_sentences(clip):
    names, templates = ("cat", "dog", "sea_snake"), ("a photo of a {}.", "a drawing of one {}.")
    own = (("it purrs",), (), ("a snake that swims", "it lives in warm seas", "it purrs"))
    labels = LabelSet(names, templates, sentences=own)
    texts = [
        [*(template.replace("{}", name.replace("_", " ")) for template in templates), *some]
        for name, some in zip(names, own, strict=True)
    ]
    features = clip.text_space(labels).features
    embed = clip.text_space(LabelSet(("x",))).embed
    expected = torch.stack([normalize(embed(some).double().mean(0), dim=0) for some in texts])
    torch.testing.assert_close(features.double(), expected, rtol=0, atol=1e-6)


def test_a_sentence_that_does_not_fit_is_named():
    clip = small(text={"context_length": 24})
    labels = LabelSet(("cat", "dog"), sentences=((), ("it barks", "word " * 30)))
    with pytest.raises(
        BadLabels, match=r"sentence 1 of label 1 .'dog'. has 32 tokens; this text tower reads 24"
    ) as refused:
        clip.text_space(labels)
    assert refused.value.field == "sentences[1][1]"
