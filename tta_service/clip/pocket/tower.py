"""The pocket image tower: a convolutional stem and a small ViT, known to timm (hence to open_clip) as `vit_pocket_64`.

Importing this file registers the name and does nothing else.
"""

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
