"""How the image tower is run: its precision, compression and runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.reducer import Reducer
from .errors import CannotLoad
from .hardware import why_not
from .image.compiled import CompiledEncoder, load_runtime
from .image.compression import AS_IT_IS, Compression, low_rank, parse_compression, prune_smallest
from .image.encoder import EagerEncoder, ImageEncoder
from .image.fold_batch_norm import fold_batch_norms
from .image.int8 import int8, int8_weight
from .image.linear import Layer, Make, free_weights_after, plain
from .image.row_buckets import sizes_on
from .image.vit_adapters import take_apart

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
TOKENS_AT_ONCE = 400  # int8 by torch: larger buffers are allocated from the system each time, page by page
RUNTIMES = ("eager", "compile", "cudagraphs", "onnxruntime", "openvino")
EXPORTED = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class EncoderConfig:
    """Precision, runtime and compression of an image encoder.

    `reducers` are those that a runtime other than eager serves besides no reduction.
    """

    precision: str = "float32"
    runtime: str = "eager"
    compress: Compression = AS_IT_IS
    reducers: tuple[Reducer, ...] = ()

    @property
    def fingerprint_fields(self) -> tuple[object, ...]:
        """The fields that change features by more than rounding."""
        exact = self.precision == "float32"
        return self.precision, self.compress, *(() if exact else (self.runtime,))


DEFAULT_CONFIG = EncoderConfig()


def make_encoder_config(
    precision: str, runtime: str, compress: str, reducers: Sequence[Reducer], device: torch.device
) -> EncoderConfig:
    """The configuration with these names. `CannotLoad` for an unknown name, or one that is slow on this machine."""
    if precision not in PRECISIONS:
        raise CannotLoad(f"there is no precision {precision!r}, only {', '.join(PRECISIONS)}", "precision")
    if runtime not in RUNTIMES:
        raise CannotLoad(f"there is no runtime {runtime!r}, only {', '.join(RUNTIMES)}", "runtime")
    if why := why_not(precision, device):
        raise CannotLoad(why, "precision")
    if runtime in EXPORTED and device.type != "cpu":
        raise CannotLoad(
            f"{runtime} serves on CPUs alone; on {device.type} take eager, compile or cudagraphs", "runtime"
        )
    try:
        return EncoderConfig(precision, runtime, parse_compression(compress), tuple(reducers))
    except ValueError as error:
        raise CannotLoad(str(error), "compress") from None


def build_image_encoder(model: Any, config: EncoderConfig, size: int, dimension: int, name: str) -> ImageEncoder:
    """Build the encoder from `model.visual`, in place: weights that are no longer needed are freed.

    `size` in pixels, `dimension` of the features. Raises `CannotLoad` for a configuration that the tower cannot have.
    """
    visual: nn.Module = model.visual
    start = None if config.runtime == "eager" else load_runtime(config.runtime, config.precision)
    parts = take_apart(visual)
    if isinstance(parts, str) and (config.precision == "int8" or config.compress != AS_IT_IS):
        field = "precision" if config.precision == "int8" else "compress"
        raise CannotLoad(f"{name or 'this model'} can only be run as it is: {parts}", field)
    layout = torch.channels_last if fold_batch_norms(visual) else torch.contiguous_format
    if config.compress.ratio:
        prune_smallest(_linear_weights(visual), config.compress.ratio)
    dtype = torch.float32 if config.runtime == "openvino" else PRECISIONS[config.precision]
    visual.to(dtype).to(memory_format=layout)
    blank = torch.zeros(1, 3, size, size, dtype=dtype, device=next(visual.parameters()).device)
    tower = take_apart(visual, _layer_factory(config))
    blank = blank.contiguous(memory_format=layout)
    most_rows = 0
    if config.precision == "int8" and not isinstance(tower, str):
        with torch.no_grad():
            most_rows = max(1, TOKENS_AT_ONCE // tower.embed(blank).shape[1])
    if start is None:
        return EagerEncoder(tower, model.encode_image, blank, dimension, name, most_rows)
    eager = EagerEncoder(tower, model.encode_image, blank, dimension, name)
    sizes = sizes_on(blank.device)
    if most_rows and config.runtime == "compile":
        sizes = tuple(size for size in sizes if size <= most_rows)
    graphs = CompiledEncoder(eager, config.runtime, start, config.precision, config.reducers, sizes)
    if config.runtime in EXPORTED:
        model.visual = nn.Identity()  # the graphs hold its weights
    return graphs


def _layer_factory(config: EncoderConfig) -> Make:
    make_int8 = int8_weight if config.runtime == "openvino" else int8
    make = free_weights_after(make_int8) if config.precision == "int8" else plain
    return low_rank(config.compress.rank, make) if config.compress.rank else make


def _linear_weights(visual: nn.Module) -> list[Tensor]:
    """The weights of all blocks' linear layers."""
    weights: list[Tensor] = []

    def collect(weight: Tensor, bias: Tensor | None) -> Layer:
        weights.append(weight)
        return plain(weight, bias)

    take_apart(visual, collect)
    return weights
