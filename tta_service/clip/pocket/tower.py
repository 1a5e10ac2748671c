"""The pocket image tower: a convolutional stem and a small ViT, known to timm (hence to open_clip) as `vit_pocket_64`.

Importing this file registers the name and does nothing else. `pack_stem` makes the stem faster on a CPU.
"""

from typing import Any

import torch
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

STRIDE = 8  # pixels per token: three halvings
WIDTHS, RESIDUALS = (32, 96, 192), (0, 2, 3)  # channels and residual pairs after each halving


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution with its batch norm, which inference may fold into it."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """x plus two convolutions of x, so that a deep stem still trains fast."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, h, w] to the same shape."""
        return self.act(x + self.second(self.act(self.first(x))))


class ConvStem(nn.Module):
    """Pixels [b, 3, s, s] to patch tokens [b, (s/8)^2, w]: what timm calls a patch embedding.

    Channels are few where the image is large and many where it is small, because a small ViT spends most time here.
    With `output_fmt="NHWC"`, as timm asks at several sizes, the tokens keep their grid, [b, s/8, s/8, w].
    """

    def __init__(self, img_size: int, embed_dim: int, output_fmt: str = "NLC", **_: object) -> None:
        super().__init__()
        self.img_size, self.patch_size = (img_size, img_size), (STRIDE, STRIDE)
        self.grid_size = (img_size // STRIDE, img_size // STRIDE)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.flatten = output_fmt == "NLC"
        layers: list[nn.Module] = []
        channels = 3
        for width, pairs in zip(WIDTHS, RESIDUALS, strict=True):
            layers += [_conv(channels, width, 2), nn.ReLU(inplace=True), *(Residual(width) for _ in range(pairs))]
            channels = width
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, embed_dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels [b, 3, s, s] to tokens, shaped as `output_fmt` says."""
        grid = self.net(x)  # [b, w, s/8, s/8]
        return grid.flatten(2).transpose(1, 2) if self.flatten else grid.permute(0, 2, 3, 1)

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Pixels per token along a side, as timm asks for it."""
        return STRIDE if as_scalar else (STRIDE, STRIDE)


class PackedConv(nn.Module):
    """A convolution whose weight is packed once for inputs shaped like `sample`, instead of at every call.

    The operators are those that torch's compiler emits for CPUs: sum, residual and ReLU are one pass over memory.
    """

    def __init__(self, conv: Any, sample: Tensor, relu: bool) -> None:
        super().__init__()
        self.shape = [conv.padding, conv.stride, conv.dilation, conv.groups]
        plain = conv.weight.detach().to_mkldnn()
        pack: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # type: ignore[attr-defined]
        self.weight: Tensor = pack(plain, *self.shape, list(sample.shape))
        self.bias, self.relu = conv.bias, "relu" if relu else "none"

    def forward(self, x: Tensor, to: Tensor | None = None) -> Tensor:
        """[b, i, h, w] to [b, o, h', w']; with `to`, relu(to + convolution) in the memory of `to`."""
        if to is None:
            return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.shape, self.relu, [], "")
        add = torch.ops.mkldnn._convolution_pointwise_.binary
        return add(to, x, self.weight, self.bias, *self.shape, "add", 1.0, "relu", [], "")


class PackedResidual(nn.Module):
    """A `Residual` of two packed convolutions, whose output overwrites its input."""

    def __init__(self, residual: Residual, sample: Tensor) -> None:
        super().__init__()
        self.first, self.second = (PackedConv(pair[0], sample, True) for pair in (residual.first, residual.second))

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, h, w] to the same shape."""
        return self.second(self.first(x), x)


@torch.no_grad()
def pack_stem(visual: nn.Module, blank: Tensor) -> bool:
    """Pack the convolutions of a pocket tower's stem in place, if its norms are folded and torch has the operators.

    `blank` [1, 3, s, s] is an image in the tower's precision. The results stay equal up to rounding.
    """
    stem = next((module for module in visual.modules() if type(module) is ConvStem), None)
    if stem is None or blank.device.type != "cpu" or any(isinstance(one, nn.BatchNorm2d) for one in stem.modules()):
        return False
    sample = torch.linspace(-2, 2, blank.numel()).to(blank).view_as(blank).contiguous(memory_format=torch.channels_last)
    try:
        packed = _pack(stem.net, sample)
        agrees = torch.allclose(packed(sample), stem.net(sample), rtol=1e-4, atol=1e-4)
    except (AttributeError, RuntimeError):  # they are private, and another torch may lack them
        return False
    if agrees:
        stem.net = packed
    return agrees


def _pack(net: nn.Sequential, x: Tensor) -> nn.Sequential:
    """The layers of a stem, which ends in a convolution without a ReLU. `x` is a sample of its input."""
    layers: list[nn.Module] = []
    for layer in net:
        if isinstance(layer, Residual):
            layers.append(PackedResidual(layer, x))
        elif isinstance(layer, nn.Sequential):  # a convolution and its folded norm; the ReLU comes next
            layers.append(PackedConv(layer[0], x, relu=True))
        elif isinstance(layer, nn.Conv2d):
            layers.append(PackedConv(layer, x, relu=False))
        else:
            continue  # the ReLU
        x = layers[-1](x)
    return nn.Sequential(*layers)


@register_model
def vit_pocket_64(pretrained: bool = False, sizes: bool = False, **options: object) -> VisionTransformer:
    """The tower at 64 px: 64 patch tokens and a class token.

    `sizes=True` accepts other image sizes with the same weights (training starts with small ones). `pretrained` is
    required by timm and unused: the weights are loaded with the whole CLIP.
    """
    for option in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        options.pop(option, None)
    shape = {"img_size": 64, "embed_dim": 192, "depth": 4, "num_heads": 3, "global_pool": "token", **options}
    return VisionTransformer(patch_size=STRIDE, embed_layer=ConvStem, dynamic_img_size=sizes, **shape)
