"""The trained part of a text tower's vocabulary, for towers that are shipped without the rest."""

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
    """The runs of two or more letters or digits; the whole text when there is none."""
    return _WORD.findall(text) or [text]


def word_key(tokens: Sequence[int]) -> int:
    """A hash of a word's tokens, without start and end, as an int32. Checkpoints store trained words by it."""
    return crc32(" ".join(map(str, tokens)).encode()) - (1 << 31)


@dataclass(frozen=True, slots=True)
class TrainedVocabulary:
    """Trained token ids, and `word_key`s of trained words of several tokens (None: all words of trained tokens)."""

    tokens: frozenset[int]
    words: frozenset[int] | None = None

    def knows(self, word: Sequence[int]) -> bool:
        """Whether a word, given as tokens without start and end, is trained."""
        whole = len(word) == 1 or self.words is None or word_key(word) in self.words
        return whole and self.tokens.issuperset(word)

    def unseen(self, labels: LabelSet, tokenize: Tokenize, context: int) -> tuple[str, ...]:
        """Names without any trained word. `context` is the tower's context length in tokens."""
        by_name = {name: split_words(name) for name in labels.names}
        words = sorted({word for parts in by_name.values() for word in parts})
        tokens, lengths = tokenize_texts(tokenize, words, context)
        rows = zip(words, tokens.tolist(), lengths.tolist(), strict=True)
        known = {word for word, row, length in rows if self.knows(row[1 : length - 1])}
        return tuple(name for name, parts in by_name.items() if not known.intersection(parts))


def make_vocabulary(tokens: torch.Tensor, words: torch.Tensor | None) -> TrainedVocabulary:
    """The vocabulary of a checkpoint's tensors: token ids [r] and word keys [n], if any."""
    return TrainedVocabulary(frozenset(tokens.tolist()), None if words is None else frozenset(words.tolist()))
