"""The frozen model: pixels to view features, label sets to text spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import Unsupported
from ..core.labels import LabelSet, Prompts, TextSpace
from ..core.reducer import Reducer, Reduction
from .fingerprint import fingerprint_of
from .image_tower import encode, patches_left
from .prompt_tokens import Tokenize, label_tokens, text_tokens, tokens_of
from .prompts import TemplatePrompts
from .text_tower import encode_tokens, take_text_apart
from .trunks import take_apart

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class FrozenCLIP:
    """An open_clip model that nobody trains any more. Thread-safe; everything that comes out lies on the CPU.

    `precision` is that of the image tower; text is encoded once per label set, always in float32.
    `trained_tokens` are the token ids that the text tower was taught, None: all.
    Under `no_grad`, not `inference_mode`: strategies may save these features for a backward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenize,
        *,
        name: str = "",
        precision: str = "float32",
        device: str | torch.device = "cpu",
        trained_tokens: Tensor | None = None,
    ) -> None:
        self.name, self.precision, self.device = name, precision, torch.device(device)
        self._dtype = PRECISIONS[precision]
        self._left = lru_cache(256)(self._count_left)
        self._model: Any = model.eval().requires_grad_(False).float().to(self.device)
        self._model.visual.to(self._dtype)
        self._tokenize, self._context = tokenizer, int(_context_length(model))
        self._trained = None if trained_tokens is None else frozenset(trained_tokens.tolist())
        look: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
        self._mean, self._std = (
            torch.tensor(look.get(key, default), device=self.device)[:, None, None]
            for key, default in (("mean", OPENAI_DATASET_MEAN), ("std", OPENAI_DATASET_STD))
        )
        self.image_size = _square(self._model.visual.image_size)
        self.scale = float(self._model.logit_scale.exp())
        self._image, self._text = take_apart(self._model.visual), take_text_apart(self._model)
        self.dimension = self._encode_texts(["a"]).shape[1]

    @property
    def reducible(self) -> bool:
        """Whether token reductions can act inside the image tower."""
        return not isinstance(self._image, str)

    @cached_property
    def fingerprint(self) -> str:
        """32 hex over architecture, weights, precision and normalisation: equal when features are."""
        return fingerprint_of(self._model, self._mean, self._std, self.precision, self.image_size)

    def check_reducer(self, reducer: Reducer) -> None:
        """Raises `Unsupported` when this tower cannot do it."""
        who = self.name or "this model"
        if isinstance(self._image, str):
            if reducer.name != "none":
                raise Unsupported(f"{who} cannot reduce tokens: {self._image}", "options.reduction.reducer.name")
        elif reducer.guide_in_tokens and self._image.aim is None:
            why = "its features are no projection of single tokens"
            raise Unsupported(f"{who} cannot compare patches with text: {why}", "options.reduction.reducer.name")

    @torch.no_grad()
    def encode_image(self, pixels: Tensor, reduction: Reduction | None = None, guide: Tensor | None = None) -> Tensor:
        """Views [b, 3, s, s], uint8 or already normalised, to unit features [b, d] float32.

        `guide` [c, d]: the label set's text features, for reducers that look at it.
        """
        reducer = None if reduction is None else reduction.reducer
        pixels = pixels.to(self.device)
        if pixels.dtype == torch.uint8:
            pixels = (pixels.float() / 255 - self._mean) / self._std
        pixels = pixels.to(self._dtype)
        if reducer is not None:
            self.check_reducer(reducer)
        if isinstance(self._image, str):
            features = self._model.encode_image(pixels)
        else:
            guide = None if guide is None else guide.to(pixels)
            features = encode(self._image, pixels, reducer, guide)
        return F.normalize(features.float(), dim=-1).cpu()

    def tokens_left(self, reducer: Reducer) -> tuple[int, ...]:
        """Patch tokens of every view behind each block; they follow from shapes alone. Empty for a tower run whole."""
        return () if isinstance(self._image, str) else self._left(reducer)

    @torch.no_grad()
    def _count_left(self, reducer: Reducer) -> tuple[int, ...]:
        assert not isinstance(self._image, str)
        blank = torch.zeros(1, 3, self.image_size, self.image_size, device=self.device, dtype=self._dtype)
        return patches_left(self._image, blank, reducer, blank.new_zeros(1, self.dimension))

    @torch.no_grad()
    def text_space(self, labels: LabelSet) -> TextSpace:
        """The label set through the text tower. `BadLabels` names a label whose prompt is too long."""
        tokens = [label_tokens(self._tokenize, labels, template, self._context) for template in labels.templates]
        features = sum(self._encode_tokens(some) for some in tokens)
        return TextSpace(
            labels,
            F.normalize(features, dim=-1).cpu(),  # type: ignore[arg-type]
            self.scale,
            self._prompts(labels, tokens[0]),
            embedder=lambda texts: self._encode_texts(texts).cpu(),
            unseen=self._unseen(labels),
        )

    @torch.no_grad()
    def _encode_texts(self, texts: Sequence[str]) -> Tensor:
        return self._encode_tokens(text_tokens(self._tokenize, texts, self._context))

    def _encode_tokens(self, tokens: Tensor) -> Tensor:
        if self._text is not None:
            return encode_tokens(self._text, tokens)
        return torch.cat([self._model.encode_text(some.to(self.device), normalize=True) for some in tokens.split(64)])

    def _prompts(self, labels: LabelSet, tokens: Tensor) -> Callable[[], Prompts] | None:
        tower = self._text
        return None if tower is None else lambda: TemplatePrompts(tower, self._tokenize, labels, tokens)

    def _unseen(self, labels: LabelSet) -> tuple[str, ...]:
        """Names none of whose words the text tower was taught."""
        if self._trained is None:
            return ()
        by_name = {name: name.replace("_", " ").split() for name in labels.names}
        words = sorted({word for some in by_name.values() for word in some})
        tokens, lengths = tokens_of(self._tokenize, words, self._context)
        rows = zip(words, tokens.tolist(), lengths.tolist(), strict=True)
        taught = {word for word, row, length in rows if self._trained.issuperset(row[:length])}
        return tuple(name for name, some in by_name.items() if not taught.intersection(some))


def _context_length(model: Any) -> int:
    return getattr(model, "context_length", None) or model.text.context_length


def _square(size: int | tuple[int, int]) -> int:
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise Unsupported(f"the image tower reads {height}x{width} pixels; only square ones are served")
    return height
