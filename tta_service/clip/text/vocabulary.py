"""What a text tower was taught, for those shipped with the trained part of their vocabulary only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import torch

from ...core.labels import LabelSet
from .tokenize import Tokenize, tokenize_texts

_WORD = re.compile(r"[^\W_]{2,}")


def split_words(text: str) -> list[str]:
    """Its runs of two letters or digits and more; the whole text when there is none."""
    return _WORD.findall(text) or [text]


def word_key(tokens: Sequence[int]) -> int:
    """A word's tokens, without start and end, as one int32: what a checkpoint keeps of the words it was taught."""
    return crc32(" ".join(map(str, tokens)).encode()) - (1 << 31)


@dataclass(frozen=True, slots=True)
class TrainedVocabulary:
    """Trained token ids, and of words that are several tokens the `word_key`s; None: any word made of such tokens."""

    tokens: frozenset[int]
    words: frozenset[int] | None = None

    def knows(self, word: Sequence[int]) -> bool:
        """Whether it was taught a word, given as tokens without start and end."""
        whole = len(word) == 1 or self.words is None or word_key(word) in self.words
        return whole and self.tokens.issuperset(word)

    def unseen(self, labels: LabelSet, tokenize: Tokenize, context: int) -> tuple[str, ...]:
        """Names none of whose words the text tower was taught."""
        by_name = {name: split_words(name) for name in labels.names}
        words = sorted({word for some in by_name.values() for word in some})
        tokens, lengths = tokenize_texts(tokenize, words, context)
        rows = zip(words, tokens.tolist(), lengths.tolist(), strict=True)
        known = {word for word, row, length in rows if self.knows(row[1 : length - 1])}
        return tuple(name for name, some in by_name.items() if not known.intersection(some))


def make_vocabulary(tokens: torch.Tensor, words: torch.Tensor | None) -> TrainedVocabulary:
    """From a checkpoint's tensors: token ids [r] and, where it has them, word keys [n]."""
    return TrainedVocabulary(frozenset(tokens.tolist()), None if words is None else frozenset(words.tolist()))
