"""The image tower of the first pocket model: a convolutional stem and four blocks, `vit_pocket_first` to timm.

Importing this file registers the name and does nothing else.
"""

from __future__ import annotations

from functools import partial

from timm.layers import HybridEmbed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.b, self.m = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.m(self.b(F.relu(self.n(self.a(x))))))


class Stem(nn.Module):
    """Pixels [b, 3, s, s] to a grid [b, 192, s/8, s/8]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, residuals in ((48, 0), (96, 2), (192, 2)):
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [Residual(width) for _ in range(residuals)]
            channels = width
        self.net, self.num_features = nn.Sequential(*layers), channels

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@register_model
def vit_pocket_first(pretrained: bool = False, **options: object) -> VisionTransformer:
    """The tower at 64 px: 64 patch tokens and a class token, four blocks of width 192."""
    for word in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        options.pop(word, None)
    embed = partial(HybridEmbed, backbone=Stem(), feature_size=(8, 8))
    shape = {"img_size": 64, "embed_dim": 192, "depth": 4, "num_heads": 3, "global_pool": "token", **options}
    return VisionTransformer(patch_size=1, embed_layer=embed, **shape)
