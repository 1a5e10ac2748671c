"""Sentences to tokens. Sentences that do not fit into the text tower's context are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...core.errors import BadLabels
from ...core.labels import LabelSet

Tokenize = Callable[..., Tensor]
LOOK_AHEAD = 4  # contexts tokenized, so that the length of a text that does not fit is known


def tokenize_texts(tokenize: Tokenize, texts: Sequence[str], context: int) -> tuple[Tensor, Tensor]:
    """Tokens [m, 4 context] of the texts, padded, and their lengths [m], start and end included."""
    tokens = tokenize(list(texts), context_length=LOOK_AHEAD * context)
    padding = tokenize([""], context_length=LOOK_AHEAD * context)[0, -1]
    places = torch.arange(1, tokens.shape[1] + 1)
    return tokens, torch.where(tokens != padding, places, 0).amax(1)


def label_tokens(tokenize: Tokenize, labels: LabelSet, template: str, context: int) -> Tensor:
    """Tokens [c, context] of one template filled with every name. `BadLabels` for the first that does not fit."""
    tokens, lengths = tokenize_texts(tokenize, labels.prompts(template), context)
    for place in (lengths > context).nonzero().flatten().tolist():
        label, size = f"label {place} ({shorten_name(labels.names[place])})", _size(int(lengths[place]), context)
        problem = f"{label} makes a prompt of {size} tokens with {template!r}"
        raise BadLabels(f"{problem}; this text tower reads {context}", f"names[{place}]")
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
