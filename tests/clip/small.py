"""Small random CLIPs, made in milliseconds."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import Any

import open_clip
import timm
import torch
from open_clip.timm_model import TimmModel
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from tta_service.clip.model import FrozenCLIP
from tta_service.clip.weights.checkpoint import build_model

VISION: dict[str, Any] = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 4}
TEXT: dict[str, Any] = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}


@register_model
def vit_small_for_tests(pretrained: bool = False, **options: Any) -> VisionTransformer:
    for word in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        options.pop(word, None)
    return VisionTransformer(
        **{"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, **options}
    )


def config(vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """What an open_clip_config.json holds."""
    look = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    towers = {"vision_cfg": {**VISION, **(vision or {})}, "text_cfg": {**TEXT, **(text or {})}}
    return {"model_cfg": {"embed_dim": 24, **towers, **parts}, "preprocess_cfg": look}


def small_model(
    vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, custom=False, **parts: Any
) -> Any:
    torch.manual_seed(0)
    return shake(build_model(config(vision, text, **parts), custom))


def small(
    vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, custom=False, **parts: Any
) -> FrozenCLIP:
    return FrozenCLIP(small_model(vision, text, custom, **parts), tokenizer())


@cache
def tokenizer(context: int = TEXT["context_length"]) -> Any:
    return open_clip.SimpleTokenizer(context_length=context)


def timm_visual(**options: Any) -> TimmModel:
    """A timm trunk as open_clip wraps it."""
    torch.manual_seed(0)
    visual = TimmModel("vit_small_for_tests", 24, 32, pool="token", proj="")
    visual.trunk = timm.create_model("vit_small_for_tests", num_classes=24, **options)
    return shake(visual).eval()


def shake(model: nn.Module) -> Any:
    """The same with weights far from their start, where biases are zero and layer scales alike."""
    noise = torch.Generator().manual_seed(1)
    for value in model.parameters():
        with torch.no_grad():
            value += (0.1 if value.ndim == 1 else 0.02) * torch.randn(value.shape, generator=noise)
    return model


def pixels(rows: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(seed))


def alike_threads(count: int) -> Executor:
    """Threads that compute bit for bit alike: the number of threads inside an operation changes its rounding."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
