"""Sentences to tokens, and which of these the text tower was trained on.

Sentences that do not fit into the tower's context are refused. Towers may be shipped without the untrained vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor

from ...core.errors import BadLabels
from ...core.labels import LabelSet

Tokenize = Callable[..., Tensor]
T = TypeVar("T")
TEXTS_AT_ONCE = 64  # a tokenizer in Python takes some 10 ms for them, in which the device waits
LOOK_AHEAD = 4  # contexts tokenized, so that the length of a text that does not fit is known
_WORD = re.compile(r"[^\W_]{2,}")


def tokenize_texts(tokenize: Tokenize, texts: Sequence[str], context: int) -> tuple[Tensor, Tensor]:
    """Tokens [m, 4 context] of the texts, padded, and their lengths [m], start and end included."""
    tokens = tokenize(list(texts), context_length=LOOK_AHEAD * context)
    padding = tokenize([""], context_length=LOOK_AHEAD * context)[0, -1]
    places = torch.arange(1, tokens.shape[1] + 1)
    return tokens, torch.where(tokens != padding, places, 0).amax(1)


def tokenize_in_steps(
    tokenize: Tokenize, texts: Sequence[str], context: int
) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """`tokenize_texts`, some texts a step."""
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        found.append(tokenize_texts(tokenize, texts[start : start + TEXTS_AT_ONCE], context))
        yield
    tokens, lengths = zip(*found, strict=True)
    return torch.cat(tokens), torch.cat(lengths)


def finish(steps: Generator[None, None, T]) -> T:
    """What comes of the steps, one after the other."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def label_tokens(tokenize: Tokenize, labels: LabelSet, template: str, context: int) -> Generator[None, None, Tensor]:
    """In steps: tokens [c, context] of one template filled with every name. `BadLabels` for the first that does not
    fit."""
    tokens, lengths = yield from tokenize_in_steps(tokenize, labels.prompts(template), context)
    for place in (lengths > context).nonzero().flatten().tolist():
        label, size = f"label {place} ({shorten_name(labels.names[place])})", _size(int(lengths[place]), context)
        problem = f"{label} makes a prompt of {size} tokens with {template!r}"
        raise BadLabels(f"{problem}; this text tower reads {context}", f"names[{place}]")
    return tokens[:, :context]


def sentence_tokens(tokenize: Tokenize, labels: LabelSet, context: int) -> Generator[None, None, Tensor]:
    """In steps: tokens [m, context] of all sentences of all names, in order. `BadLabels` for the first that does not
    fit."""
    places = [(i, j, sentence) for i, own in enumerate(labels.sentences) for j, sentence in enumerate(own)]
    tokens, lengths = yield from tokenize_in_steps(tokenize, [sentence for *_, sentence in places], context)
    for place in (lengths > context).nonzero().flatten().tolist():
        i, j, _ = places[place]
        problem = (
            f"sentence {j} of label {i} ({shorten_name(labels.names[i])}) has {_size(int(lengths[place]), context)}"
        )
        raise BadLabels(f"{problem} tokens; this text tower reads {context}", f"sentences[{i}][{j}]")
    return tokens[:, :context]


def text_tokens(tokenize: Tokenize, texts: Sequence[str], context: int, cut: bool = False) -> Tensor:
    """Tokens [m, context] of any texts. `BadLabels` for the first that does not fit, unless its end is to be `cut`."""
    if cut:
        return tokenize(list(texts), context_length=context)
    tokens, lengths = tokenize_texts(tokenize, texts, context)
    for place in (lengths > context).nonzero().flatten().tolist():
        problem = f"text {place} is {_size(int(lengths[place]), context)} tokens long"
        raise BadLabels(f"{problem}; this text tower reads {context}")
    return tokens[:, :context]


def shorten_name(name: str) -> str:
    """The name in quotes for an error message, with at most 80 characters."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _size(length: int, context: int) -> str:
    return f"more than {length - 1}" if length == LOOK_AHEAD * context else str(length)


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

    def unseen(self, labels: LabelSet, tokenize: Tokenize, context: int) -> Generator[None, None, tuple[str, ...]]:
        """In steps: names without any trained word. `context` is the tower's context length in tokens."""
        by_name = {name: split_words(name) for name in labels.names}
        words = sorted({word for parts in by_name.values() for word in parts})
        tokens, lengths = yield from tokenize_in_steps(tokenize, words, context)
        rows = zip(words, tokens.tolist(), lengths.tolist(), strict=True)
        known = {word for word, row, length in rows if self.knows(row[1 : length - 1])}
        return tuple(name for name, parts in by_name.items() if not known.intersection(parts))


def make_vocabulary(tokens: Tensor, words: Tensor | None) -> TrainedVocabulary:
    """The vocabulary of a checkpoint's tensors: token ids [r] and word keys [n], if any."""
    return TrainedVocabulary(frozenset(tokens.tolist()), None if words is None else frozenset(words.tolist()))
