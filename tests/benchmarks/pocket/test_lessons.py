"""Which tokens get a row, and how a text tower goes on over other rows."""

from __future__ import annotations

import torch
from lessons import token_rows
from text_tower import TOKENIZER, build, place, start_from_before, start_from_teacher, tokens_of
from torch.nn import functional as F
from words import KEPT_FROM_PICTURES, nouns, synonyms, vocabulary


def test_whole_nouns_come_before_other_words_and_these_before_pieces():
    nothing = token_rows([], [], [], 100)
    assert nothing.tolist() == [0]
    one = token_rows([], ["table"], ["dog", "knapsack"], 2)
    assert one.tolist() == sorted([0, *TOKENIZER.encode("dog")])
    every = token_rows([], ["table"], ["dog", "knapsack"], 100)
    wanted = {0, *TOKENIZER.encode("dog"), *TOKENIZER.encode("table"), *TOKENIZER.encode("knapsack")}
    assert every.tolist() == sorted(wanted) and len(TOKENIZER.encode("knapsack")) > 1


def test_the_rows_of_names_and_templates_are_there_whatever_they_cost():
    rows = token_rows(["a photo of a dog."], [], ["cat"], 1)
    assert torch.isin(tokens_of(["a photo of a dog."]), rows).all()


def test_a_tower_goes_on_over_other_rows_as_before():
    texts = ["dog", "cat", "table", "house", "tree", "river"]
    torch.manual_seed(0)
    targets = F.normalize(torch.randn(6, 256), dim=1)
    before = token_rows(texts[:4], [], [], 0)
    old = build(len(before), 256)
    start_from_teacher(old, before, texts[:4], targets[:4])
    now = token_rows(texts, [], [], 0)
    new = build(len(now), 256)
    start_from_before(new, now, old.state_dict(), before, texts, targets)
    with torch.no_grad():
        for text in texts[:4]:
            tokens = tokens_of([text])
            torch.testing.assert_close(place(new.eval(), now, tokens), place(old.eval(), before, tokens))


def test_nouns_are_plain_and_rare_ones_are_among_them():
    known = nouns()
    assert {"knapsack", "dromedary", "lollipop", "fountain pen"} <= set(known)
    assert all(noun == noun.lower() and len(noun.split()) <= 3 for noun in known)


def test_words_kept_for_the_examination_are_no_synonyms():
    for word, name in KEPT_FROM_PICTURES.items():
        assert word not in synonyms(name, [name, word, "another"])


def test_the_vocabulary_is_whole_words_frequent_first():
    words = vocabulary()
    assert words.index("the") < words.index("dog") < words.index("propulsion")
    assert len(set(words)) == len(words)
