"""The frozen model: pixels to view features, label sets to text spaces."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import Unsupported
from ..core.labels import LabelSet, Prompts, TextSpace
from ..core.reducer import Reducer, Reduction
from ..core.token_map import TokenMap
from .encoder_config import DEFAULT_CONFIG, EncoderConfig, build_image_encoder
from .text.prompts import TOKENS_AT_ONCE, TemplatePrompts
from .text.tokenize import Tokenize, TrainedVocabulary, finish, label_tokens, sentence_tokens, text_tokens
from .text.tower import encode_tokens, take_text_apart


class FrozenCLIP:
    """An open_clip model with fixed weights. Thread-safe; all results are on the CPU.

    `config` is that of the image tower. Text is encoded once per label set, always in float32. `vocabulary` is the
    trained part of the text tower's vocabulary; None: all of it. Features are computed under `no_grad` rather than
    `inference_mode`, so that strategies may use them in a backward pass. `model` is the open_clip model itself,
    `text_tower` its text tower taken apart, None where that is impossible.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenize,
        *,
        name: str = "",
        config: EncoderConfig = DEFAULT_CONFIG,
        device: str | torch.device = "cpu",
        vocabulary: TrainedVocabulary | None = None,
    ) -> None:
        self.name, self.config, self.device = name, config, torch.device(device)
        self.model: Any = model.eval().requires_grad_(False).float().to(self.device)
        self.tokenize, self._context = tokenizer, int(_context_length(model))
        self._vocabulary = vocabulary
        preprocess: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
        self._mean, self._std = (
            torch.tensor(preprocess.get(key, default), device=self.device)[:, None, None]
            for key, default in (("mean", OPENAI_DATASET_MEAN), ("std", OPENAI_DATASET_STD))
        )
        self.image_size = _square(self.model.visual.image_size)
        self.scale = float(self.model.logit_scale.exp())
        self.text_tower = take_text_apart(self.model)
        self.dimension = self._encode_texts(["a"]).shape[1]
        # 32 hex digits over architecture, weights, configuration and normalisation. Equal fingerprints: equal features.
        self.fingerprint = fingerprint_of(
            self.model, self._mean, self._std, self.image_size, *config.fingerprint_fields
        )
        self._image = build_image_encoder(self.model, config, self.image_size, self.dimension, name)
        if config != DEFAULT_CONFIG:
            release_memory()

    @property
    def precision(self) -> str:
        """The image tower's precision: "float32", "bfloat16", "float16" or "int8"."""
        return self.config.precision

    @property
    def reducible(self) -> bool:
        """Whether token reductions can act inside the image tower."""
        return self._image.reducible

    def check_reducer(self, reducer: Reducer) -> None:
        """Raises `Unsupported` when the image tower cannot run the reducer."""
        self._image.check(reducer)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor, reduction: Reduction | None = None, guide: Tensor | None = None) -> Tensor:
        """Views [b, 3, s, s], uint8 or already normalised, to unit features [b, d] float32.

        `guide` [c, d] are the label set's text features, for guided reducers.
        """
        reducer = None if reduction is None or reduction.reducer.name == "none" else reduction.reducer
        features = self._image(self._normalise(pixels), reducer, guide)
        return F.normalize(features.float(), dim=-1).cpu()

    def tokens_left(self, reducer: Reducer) -> tuple[int, ...]:
        """Patch tokens of a view after each block, which follow from shapes alone. Empty for a tower run whole."""
        return self._image.tokens_left(reducer)

    def map_tokens(self, pixels: Tensor, reducer: Reducer, guide: Tensor | None = None) -> TokenMap | None:
        """Attention and tokens of one view [1, 3, s, s]; None where the image tower does not tell."""
        return self._image.map_tokens(self._normalise(pixels), None if reducer.name == "none" else reducer, guide)

    def text_space(self, labels: LabelSet) -> TextSpace:
        """Encode a label set. Raises `BadLabels`, which names a label whose prompt is too long."""
        return finish(self.text_space_in_steps(labels))

    def text_space_in_steps(self, labels: LabelSet) -> Generator[None, None, TextSpace]:
        """`text_space`, some prompts a step, so that other work can use the device between steps."""
        tokens: list[Tensor] = []
        for template in labels.templates:
            tokens.append((yield from label_tokens(self.tokenize, labels, template, self._context)))  # noqa: PERF401
        classes = [place for place, own in enumerate(labels.sentences) for _ in own]
        if classes:
            tokens.append((yield from sentence_tokens(self.tokenize, labels, self._context)))
        known, unseen = self._vocabulary, ()
        if known:
            unseen = yield from known.unseen(labels, self.tokenize, self._context)
        features: list[Tensor] = []  # of each template [c, d]; then of all sentences, if there are any
        for batch in tokens:
            pieces: list[Tensor] = []
            for piece in batch.split(self._prompts_at_once(batch)):
                pieces.append(self._encode_tokens(piece))
                yield
            features.append(torch.cat(pieces))
        total = torch.stack(features[: len(labels.templates)]).sum(0)
        if classes:
            total.index_add_(0, torch.tensor(classes, device=total.device), features[-1])
        return TextSpace(
            labels,
            F.normalize(total, dim=-1).cpu(),
            self.scale,
            self._prompts(labels, tokens[0]),
            embedder=lambda texts: self._encode_texts(texts, cut=True).cpu(),
            unseen=unseen,
        )

    def _normalise(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device)
        return (pixels.float() / 255 - self._mean) / self._std if pixels.dtype == torch.uint8 else pixels

    @torch.no_grad()
    def _encode_texts(self, texts: Sequence[str], cut: bool = False) -> Tensor:
        return self._encode_tokens(text_tokens(self.tokenize, texts, self._context, cut))

    def _prompts_at_once(self, tokens: Tensor) -> int:
        return 64 if self.text_tower is None else max(1, TOKENS_AT_ONCE // int(self.text_tower.lengths(tokens).max()))

    @torch.no_grad()
    def _encode_tokens(self, tokens: Tensor) -> Tensor:
        if self.text_tower is not None:
            return encode_tokens(self.text_tower, tokens)
        return torch.cat([self.model.encode_text(part.to(self.device), normalize=True) for part in tokens.split(64)])

    def _prompts(self, labels: LabelSet, tokens: Tensor) -> Callable[[], Prompts] | None:
        tower = self.text_tower
        return None if tower is None else lambda: TemplatePrompts(tower, self.tokenize, labels, tokens)


def _context_length(model: Any) -> int:
    return getattr(model, "context_length", None) or model.text.context_length


def _square(size: int | tuple[int, int]) -> int:
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise Unsupported(f"the image tower reads {height}x{width} pixels; only square ones are served")
    return height


def fingerprint_of(model: nn.Module, mean: Tensor, std: Tensor, *more: object) -> str:
    """32 hex digits over architecture, weights, the mean and deviation of pixels, and `more` that changes features.

    Equal fingerprints mean equal features.
    """
    heads = [m.num_heads for m in model.modules() if isinstance(getattr(m, "num_heads", None), int)]  # not in the repr
    digest = hashlib.sha256(f"{model!r} {heads} {more}".encode())
    for key, value in (("mean", mean), ("std", std), *sorted(model.state_dict().items())):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def release_memory() -> None:
    """Return the allocator's free memory, about one model after a conversion of weights. Effective with glibc only."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
