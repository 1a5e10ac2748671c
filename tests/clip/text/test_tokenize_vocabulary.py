"""Which words a text tower was taught: tokens, and whole words of several tokens."""

from __future__ import annotations

import pytest
import torch

from tests.clip.small import tokenizer
from tta_service import LabelSet
from tta_service.clip.text.tokenize import TrainedVocabulary, finish, make_vocabulary, split_words, word_key

CONTEXT = 16


def tokens(*words: str) -> torch.Tensor:
    return torch.tensor(sorted({token for word in words for token in tokenizer().encode(word)}))


def find_unseen(known: TrainedVocabulary, *names: str) -> tuple[str, ...]:
    return finish(known.unseen(LabelSet(names), tokenizer(), CONTEXT))


def test_words_are_runs_of_letters_and_digits():
    assert split_words("sea_dog") == ["sea", "dog"]
    assert split_words("dog's T-shirt, 2nd") == ["dog", "shirt", "2nd"]
    assert split_words("x") == ["x"]


def test_a_word_of_several_taught_tokens_is_known_only_if_it_was_taught_itself():
    pieces = tokens("knapsack", "blorptang", "cat")
    listed = make_vocabulary(pieces, torch.tensor([word_key(tokenizer().encode("knapsack"))], dtype=torch.int32))
    assert find_unseen(listed, "knapsack", "blorptang", "cat", "blorptang cat") == ("blorptang",)
    assert find_unseen(make_vocabulary(pieces, None), "knapsack", "blorptang") == ()


def test_a_listed_word_needs_its_tokens_too():
    keys = torch.tensor([word_key(tokenizer().encode("knapsack"))], dtype=torch.int32)
    assert find_unseen(make_vocabulary(tokens("cat"), keys), "knapsack", "cat") == ("knapsack",)


@pytest.mark.parametrize("name", ["Knapsack", "knapsack-", "a knapsack"])
def test_case_and_punctuation_do_not_matter(name: str):
    known = make_vocabulary(
        tokens("knapsack"), torch.tensor([word_key(tokenizer().encode("knapsack"))], dtype=torch.int32)
    )
    assert find_unseen(known, name) == ()


def test_keys_fit_the_type_they_are_kept_in():
    keys = [word_key(tokenizer().encode(word)) for word in ("knapsack", "dromedary", "salamander", "zxqvy")]
    assert len(set(keys)) == 4
    assert torch.tensor(keys).equal(torch.tensor(keys, dtype=torch.int32).long())
