"""The text tower of `FakeCLIP`: words weighted by position, summed, passed through tanh, projected; differentiable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..core.errors import BadLabels, BadParameters
from ..maths import unit

LONGEST = 75  # words of a prompt, as CLIP's 77 tokens less start and end


class Words:
    """The random weights of the text tower, drawn from a seed."""

    def __init__(self, dimension: int, seed: int, width: int = 64) -> None:
        draw = torch.Generator().manual_seed(seed + 1)
        self._seed, self.width = seed, width
        self.mix = torch.randn(width, width, generator=draw) * 8 / width**0.5
        self.projection = torch.randn(width, dimension, generator=draw)
        self.places = torch.rand(LONGEST, width, generator=draw) + 0.5

    def embed(self, words: Sequence[str]) -> Tensor:
        """[k, w] embeddings with the scale of trained ones, each drawn from a hash of its word."""
        return torch.stack([self._word(word) for word in words]) if words else torch.zeros(0, self.width)

    def pool(self, sums: Tensor) -> Tensor:
        """Weighted sums of words [c, w] to unit features [c, d]."""
        return unit((sums @ self.mix).tanh() @ self.projection)

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """[m, d], unit norm. A text that is too long is truncated."""
        rows = [text.removesuffix(".").split()[:LONGEST] for text in texts]
        return self.pool(torch.stack([(self.embed(row) * self.places[: len(row)]).sum(0) for row in rows]))

    def _word(self, word: str) -> Tensor:
        letters = hashlib.sha256(f"{self._seed}/{word.lower()}".encode()).digest()
        return 0.02 * torch.randn(
            self.width, generator=torch.Generator().manual_seed(int.from_bytes(letters[:7], "big"))
        )


def split_words(text: str) -> list[str]:
    """The words of a sentence without its full stop. Raises `BadLabels` when the text tower cannot hold them."""
    words = text.removesuffix(".").split()
    if len(words) > LONGEST:
        raise BadLabels(f"{text[:40]!r}… has {len(words)} words; this text tower takes {LONGEST}", "names")
    return words


@dataclass(frozen=True, eq=False)
class FakePrompts:
    """One template of a label set before the text tower; implements `Prompts`."""

    words: Words
    names: Sequence[str]
    template: str

    @property
    def context(self) -> Tensor:
        """[k, w] embeddings of the template's words outside `{}`. Raises `BadParameters` when there are none."""
        if not len(self.initial):
            raise BadParameters("the first template has no words to tune", "options.strategy.name")
        return self.initial

    def encode(self, context: Tensor, classes: Tensor | None = None) -> Tensor:
        """Context [k, w] to unit text features [c, d] (or of the `classes` [m] only)."""
        fixed, length = self._names if classes is None else (part[classes] for part in self._names)
        split, right = self._split, len(context) - self._split
        left = (context[:split] * self.words.places[:split]).sum(0)
        shifted = self.words.places.unfold(0, right, 1)[split + length] if right else torch.zeros(len(fixed), 64, 0)
        return self.words.pool(fixed + left + (context[split:].T * shifted).sum(-1))

    def gradient(self, d_features: Tensor) -> Tensor:
        """Pull [c, d] back to [k, w] at the initial context."""
        with torch.enable_grad():
            context = self.context.clone().requires_grad_()
            return torch.autograd.grad(self.encode(context), context, d_features)[0]

    @cached_property
    def initial(self) -> Tensor:
        """[k, w] as `context`, but [0, w] for a template without words."""
        left, right = self.template.split("{}")
        return self.words.embed(left.split() + right.removesuffix(".").split())

    @cached_property
    def _split(self) -> int:
        return len(self.template.split("{}")[0].split())

    @cached_property
    def _names(self) -> tuple[Tensor, Tensor]:
        """[c, w] the weighted sum of each name's words, [c] their number."""
        rows = [self.words.embed(split_words(name.replace("_", " "))) for name in self.names]
        places = self.words.places[self._split :]
        return torch.stack([(row * places[: len(row)]).sum(0) for row in rows]), torch.tensor(
            [len(row) for row in rows]
        )
