from __future__ import annotations

import pytest
import torch

from tests.clip.small import tokenizer
from tta_service.clip.text.tokenize import (
    TEXTS_AT_ONCE,
    finish,
    label_tokens,
    sentence_tokens,
    text_tokens,
    tokenize_texts,
)
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
    tokens = finish(label_tokens(tokenizer(), labels, "a photo of a {}.", 20))
    assert torch.equal(tokens, tokenizer()(["a photo of a cat.", "a photo of a sea snake."]))


def test_the_longest_that_fits_and_the_next():
    template = "the {}"
    finish(label_tokens(tokenizer(), LabelSet(("cat", " ".join(["dog"] * 17)), (template,)), template, 20))
    with pytest.raises(BadLabels, match=r"label 1 .* 21 tokens .* reads 20") as refused:
        finish(label_tokens(tokenizer(), LabelSet(("cat", " ".join(["dog"] * 18)), (template,)), template, 20))
    assert refused.value.field == "names[1]"


def test_endless_names_are_refused_in_few_words():
    with pytest.raises(BadLabels, match="more than 79 tokens") as refused:
        finish(label_tokens(tokenizer(), LabelSet(("dog " * 5000,)), "{}", 20))
    assert len(refused.value.message) < 250


def test_other_texts_are_refused_too():
    with pytest.raises(BadLabels, match="text 1 is 27 tokens"):
        text_tokens(tokenizer(), ["cat", " ".join(["dog"] * 25)], 20)


def test_a_text_whose_end_may_be_cut_is_read_as_far_as_it_goes():
    texts = ["cat", " ".join(["dog"] * 25)]
    tokens = text_tokens(tokenizer(), texts, 20, cut=True)
    assert torch.equal(tokens, tokenizer()(["cat", " ".join(["dog"] * 18)]))


def test_no_step_takes_more_than_some_texts_however_many_there_are():
    asked = list[int]()

    def counting(texts: list[str], context_length: int) -> torch.Tensor:
        asked.append(len(texts))
        return tokenizer()(texts, context_length=context_length)

    names = tuple(f"dog number {i}" for i in range(300))
    sentences = tuple((f"a dog with the number {i}",) for i in range(300))
    labels = LabelSet(names, ("a {}.",), sentences=sentences)
    steps = label_tokens(counting, labels, "a {}.", 20), sentence_tokens(counting, labels, 20)
    whole = tokenizer()(labels.prompts("a {}."), context_length=20)
    assert torch.equal(finish(steps[0]), whole)
    assert finish(steps[1]).shape == (300, 20)
    assert max(asked) == TEXTS_AT_ONCE and asked.count(TEXTS_AT_ONCE) == 8
