"""A CLIP of a few small random matrices with the interface of `FrozenCLIP`. It encodes an image in milliseconds.

Its text tower weights words by position, sums them, and projects the tanh; it is differentiable.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..core.errors import BadLabels, BadParameters
from ..core.labels import LabelSet, TextSpace
from ..core.reducer import Reducer, Reduction
from ..core.token_map import TokenMap
from ..maths import unit

LONGEST = 75  # words of a prompt, as CLIP's 77 tokens less start and end


class FakeCLIP:
    """Deterministic in `seed`. Rows are encoded one by one, so features are bit-identical in every batch.

    The image tower cuts 16 patches, applies two nonlinear layers and projects their mean. With a reduction both layers
    call the reducer, so that reducers and batching can be tested without a model.
    """

    name = "fake"
    precision = "float32"
    reducible = True
    device = torch.device("cpu")

    def __init__(self, dimension: int = 64, image_size: int = 32, scale: float = 100.0, seed: int = 0) -> None:
        if image_size % 4:
            raise ValueError(f"image_size is {image_size}; it must be a multiple of 4")
        self.dimension, self.image_size, self.scale = dimension, image_size, float(scale)
        draw, width, side = torch.Generator().manual_seed(seed), 64, image_size // 4
        self._embed = torch.randn(3 * side * side, width, generator=draw) / side
        self._mix = torch.randn(width, width, generator=draw) / width**0.5
        self._project = torch.randn(width, dimension, generator=draw)
        self._words = Words(dimension, seed)
        description = repr((dimension, image_size, self.scale, seed)).encode()
        self.fingerprint = hashlib.sha256(description + self._project.numpy().tobytes()).hexdigest()[:32]

    def encode_image(self, pixels: Tensor, reduction: Reduction | None = None, guide: Tensor | None = None) -> Tensor:
        """[b, 3, s, s] uint8, or float already normalised -> [b, d] unit norm."""
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, self.image_size, self.image_size):
            raise ValueError(f"pixels are {tuple(pixels.shape)}, not [b, 3, {self.image_size}, {self.image_size}]")
        values = pixels.float() / 127.5 - 1.0 if pixels.dtype == torch.uint8 else pixels.float()
        reducer = None if reduction is None else reduction.reducer
        with torch.no_grad():
            rows = [self._row(row[None], reducer, guide) for row in values]
        return torch.cat(rows) if rows else torch.empty(0, self.dimension)

    def text_space(self, labels: LabelSet) -> TextSpace:
        """The label set through all templates; prompts are differentiable. Raises `BadLabels` above 75 words."""
        for template in labels.templates:
            for prompt in labels.prompts(template):
                split_words(prompt)
        for sentence in itertools.chain(*labels.sentences):
            split_words(sentence, "sentences")
        prompts = [FakePrompts(self._words, labels.names, template) for template in labels.templates]
        with torch.no_grad():
            each = torch.stack([one.encode(one.initial) for one in prompts])
            own = [self._words.sentences(some).sum(0) if some else 0 * each[0, 0] for some in labels.sentences]
        total = each.sum(0) + torch.stack(own) if own else each.sum(0)
        features = each[0] if len(each) == 1 and not own else unit(total)
        return TextSpace(labels, features, self.scale, lambda: prompts[0], self._words.sentences)

    def text_space_in_steps(self, labels: LabelSet) -> Generator[None, None, TextSpace]:
        """`text_space` in one step."""
        yield
        return self.text_space(labels)

    def check_reducer(self, reducer: Reducer) -> None:
        """Accepts every reducer."""

    def tokens_left(self, reducer: Reducer) -> tuple[int, ...]:
        """Empty: the tower does not tell."""
        return ()

    def map_tokens(self, pixels: Tensor, reducer: Reducer, guide: Tensor | None = None) -> TokenMap | None:
        """The patches as they are, with equal attention."""
        return TokenMap(torch.full((16,), 1 / 16), torch.arange(16))

    def _row(self, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None) -> Tensor:
        side = self.image_size // 4
        patches = pixels.unfold(2, side, side).unfold(3, side, side)  # [1, 3, 4, 4, side, side]
        x = patches.permute(0, 2, 3, 1, 4, 5).reshape(1, 16, -1) @ self._embed
        x, sizes = torch.cat([x.mean(1, keepdim=True), x], 1), None
        for layer in range(2):
            if reducer is not None:
                heads = x.view(1, x.shape[1], 4, -1).transpose(1, 2)
                x, sizes = reducer.reduce(layer, 2, x, sizes, heads, heads, 1, guide)
            x = x + (x @ self._mix).tanh()
        weights = torch.ones(x.shape[:2]) if sizes is None else sizes
        return unit((x * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1) @ self._project)


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


def split_words(text: str, field: str = "names") -> list[str]:
    """The words of a sentence without its full stop. Raises `BadLabels` when the text tower cannot hold them."""
    words = text.removesuffix(".").split()
    if len(words) > LONGEST:
        raise BadLabels(f"{text[:40]!r}… has {len(words)} words; this text tower takes {LONGEST}", field)
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
