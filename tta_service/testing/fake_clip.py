"""A CLIP of a few small random matrices with the interface of `FrozenCLIP`. It encodes an image in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

import torch
from torch import Tensor

from ..core.labels import LabelSet, TextSpace
from ..core.reducer import Reducer, Reduction
from ..maths import unit
from .fake_prompts import FakePrompts, Words, split_words


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
        prompts = [FakePrompts(self._words, labels.names, template) for template in labels.templates]
        with torch.no_grad():
            each = torch.stack([one.encode(one.initial) for one in prompts])
        features = each[0] if len(each) == 1 else unit(each.mean(0))
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
