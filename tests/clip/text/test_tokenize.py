from __future__ import annotations

import pytest
import torch

from tests.clip.small import tokenizer
from tta_service.clip.text.tokenize import label_tokens, text_tokens, tokenize_texts
from tta_service.core.errors import BadLabels
from tta_service.core.labels import LabelSet


def test_lengths_count_start_and_end():
    tokens, lengths = tokenize_texts(tokenizer(), ["", "dog", "a brush-tailed bettong!", "!"], 20)
    assert lengths.tolist() == [
        len(tokenizer().encode(text)) + 2 for text in ("", "dog", "a brush-tailed bettong!", "!")
    ]
    assert tokens.shape == (4, 80)


def test_prompts_that_fit_are_as_the_tokenizer_makes_them():
    labels = LabelSet(("cat", "sea_snake"), ("a photo of a {}.",))
    tokens = label_tokens(tokenizer(), labels, "a photo of a {}.", 20)
    assert torch.equal(tokens, tokenizer()(["a photo of a cat.", "a photo of a sea snake."]))


def test_the_longest_that_fits_and_the_next():
    template = "the {}"
    label_tokens(tokenizer(), LabelSet(("cat", " ".join(["dog"] * 17)), (template,)), template, 20)
    with pytest.raises(BadLabels, match=r"label 1 .* 21 tokens .* reads 20") as refused:
        label_tokens(tokenizer(), LabelSet(("cat", " ".join(["dog"] * 18)), (template,)), template, 20)
    assert refused.value.field == "names[1]"


def test_endless_names_are_refused_in_few_words():
    with pytest.raises(BadLabels, match="more than 79 tokens") as refused:
        label_tokens(tokenizer(), LabelSet(("dog " * 5000,)), "{}", 20)
    assert len(refused.value.message) < 250


def test_other_texts_are_refused_too():
    with pytest.raises(BadLabels, match="text 1 is 27 tokens"):
        text_tokens(tokenizer(), ["cat", " ".join(["dog"] * 25)], 20)


def test_a_text_whose_end_may_be_cut_is_read_as_far_as_it_goes():
    texts = ["cat", " ".join(["dog"] * 25)]
    tokens = text_tokens(tokenizer(), texts, 20, cut=True)
    assert torch.equal(tokens, tokenizer()(["cat", " ".join(["dog"] * 18)]))
