"""How the image tower is run: its precision, compression and runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..core.reducer import Reducer
from . import CannotLoad
from .hardware import why_not
from .image.compiled import CompiledEncoder, Start, load_runtime, sizes_on
from .image.compression import AS_IT_IS, Compression, low_rank, parse_compression, prune_smallest
from .image.encoder import EagerEncoder, ImageEncoder
from .image.linear import Int8Linear, Int8Weight, Layer, Make, free_weights_after, plain
from .image.tower import ImageTower
from .image.vit_adapters import take_apart
from .pocket.tower import pack_stem

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
TOKENS_AT_ONCE = 400  # int8 by torch: larger buffers are allocated from the system each time, page by page
RUNTIMES = ("eager", "compile", "cudagraphs", "onnxruntime", "openvino")
EXPORTED = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class EncoderConfig:
    """Precision, runtime and compression of an image encoder.

    `reducers` are those that a runtime other than eager serves besides no reduction. `agrees`: its features were found
    to agree with those of float32 (`tuning.py`), so memories of either are good for both.
    """

    precision: str = "float32"
    runtime: str = "eager"
    compress: Compression = AS_IT_IS
    reducers: tuple[Reducer, ...] = ()
    agrees: bool = False
    exportable: bool = False  # of operations alone that other runtimes have

    @property
    def fingerprint_fields(self) -> tuple[object, ...]:
        """The fields that change features by more than rounding."""
        exact = self.precision == "float32" or self.agrees
        return "float32" if exact else self.precision, self.compress, *(() if exact else (self.runtime,))

    @property
    def packable(self) -> bool:
        """Whether operations may be used that torch alone has."""
        return self.runtime == "eager" and PRECISIONS[self.precision] == torch.float32 and not self.exportable


DEFAULT_CONFIG = EncoderConfig()


def make_encoder_config(
    precision: str,
    runtime: str,
    compress: str,
    reducers: Sequence[Reducer],
    device: torch.device,
    agrees: bool = False,
    exportable: bool = False,
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
        return EncoderConfig(precision, runtime, parse_compression(compress), tuple(reducers), agrees, exportable)
    except ValueError as error:
        raise CannotLoad(str(error), "compress") from None


def build_image_encoder(model: Any, config: EncoderConfig, size: int, dimension: int, name: str) -> ImageEncoder:
    """Build the encoder from `model.visual`, in place: weights that are no longer needed are freed.

    `size` in pixels, `dimension` of the features. Raises `CannotLoad` for a configuration that the tower cannot have.
    """
    visual: nn.Module = model.visual
    start = None if config.runtime == "eager" else load_runtime(config.runtime, config.precision)
    _require_layers(visual, config, name)
    layout = torch.channels_last if fold_batch_norms(visual) else torch.contiguous_format
    if config.compress.ratio:
        prune_smallest(_linear_weights(visual), config.compress.ratio)
    dtype = torch.float32 if config.runtime == "openvino" else PRECISIONS[config.precision]
    visual.to(dtype).to(memory_format=layout)
    blank = torch.zeros(1, 3, size, size, dtype=dtype, device=next(visual.parameters()).device)
    blank = blank.contiguous(memory_format=layout)
    if config.packable:
        pack_stem(visual, blank)
    tower = take_apart(visual, _layer_factory(config))
    most_rows = _most_rows(tower, blank) if config.precision == "int8" else 0
    eager = EagerEncoder(tower, model.encode_image, blank, dimension, name, 0 if start else most_rows)
    return _compile(model, eager, config, start, most_rows) if start else eager


def _compile(model: Any, eager: EagerEncoder, config: EncoderConfig, start: Start, most_rows: int) -> CompiledEncoder:
    """The encoder in graphs of up to `most_rows` rows (0: no limit)."""
    sizes = sizes_on(eager.blank.device)
    if most_rows and config.runtime == "compile":
        sizes = tuple(rows for rows in sizes if rows <= most_rows)
    graphs = CompiledEncoder(eager, config.runtime, start, config.precision, config.reducers, sizes)
    if config.runtime in EXPORTED:
        model.visual = nn.Identity()  # the graphs hold its weights
    return graphs


def fold_batch_norms(model: nn.Module) -> int:
    """Fold each batch norm that follows a convolution in a `Sequential` into it. In place; gives the number folded.

    Exact up to rounding, and a convolutional stem takes a sixth less time.
    """
    folded = 0
    for parent in [module for module in model.modules() if type(module) is nn.Sequential]:
        for (first, conv), (second, norm) in pairwise(list(parent.named_children())):
            if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
                setattr(parent, first, fuse_conv_bn_eval(conv.eval(), norm.eval()))
                setattr(parent, second, nn.Identity())
                folded += 1
    return folded


def _require_layers(visual: nn.Module, config: EncoderConfig, name: str) -> None:
    """Raises `CannotLoad` where the configuration needs other linear layers, and the tower is only run whole."""
    whole = take_apart(visual)
    if isinstance(whole, str) and (config.precision == "int8" or config.compress != AS_IT_IS):
        field = "precision" if config.precision == "int8" else "compress"
        raise CannotLoad(f"{name or 'this model'} can only be run as it is: {whole}", field)


def _layer_factory(config: EncoderConfig) -> Make:
    make_int8 = Int8Weight if config.runtime == "openvino" else Int8Linear
    make = free_weights_after(make_int8) if config.precision == "int8" else plain
    return low_rank(config.compress.rank, make) if config.compress.rank else make


@torch.no_grad()
def _most_rows(tower: ImageTower | str, blank: Tensor) -> int:
    """Rows of `TOKENS_AT_ONCE` tokens. `_require_layers` has refused a tower that is run whole."""
    assert not isinstance(tower, str)
    return max(1, TOKENS_AT_ONCE // tower.embed(blank).shape[1])


def _linear_weights(visual: nn.Module) -> list[Tensor]:
    """The weights of all blocks' linear layers."""
    weights: list[Tensor] = []

    def collect(weight: Tensor, bias: Tensor | None) -> Layer:
        weights.append(weight)
        return plain(weight, bias)

    take_apart(visual, collect)
    return weights
