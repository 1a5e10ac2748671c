"""ZERO, MTA, TPT and TDA from JPEG to answer as their papers describe them, with Pillow, torchvision and open_clip.

ZERO: arXiv:2405.18330. MTA: arXiv:2405.02266. TPT: arXiv:2209.07511 (`tpt_plain.py`). TDA: arXiv:2403.18293.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torchvision import transforms as tv
from tpt_plain import PlainTPT

from tta_service.maths import entropy

TEMPLATE = "a photo of a {}."
MEAN, STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
PLAIN: Any = tv.Compose(
    [tv.Resize(224, tv.InterpolationMode.BICUBIC), tv.CenterCrop(224), tv.ToTensor(), tv.Normalize(MEAN, STD)]
)
CROP: Any = tv.Compose([tv.RandomResizedCrop(224), tv.RandomHorizontalFlip(), tv.ToTensor(), tv.Normalize(MEAN, STD)])
Method = Callable[[bytes], Tensor]


@dataclass(frozen=True)
class Scene:
    """A model of open_clip, and the names through its text tower."""

    model: Any
    tokens: Tensor  # [c, 77]
    text: Tensor  # [c, d], unit norm
    scale: float
    views: int

    @classmethod
    def make(cls, model: Any, tokenizer: Any, names: Sequence[str], views: int) -> Scene:
        tokens = tokenizer([TEMPLATE.format(name) for name in names])
        with torch.no_grad():
            text = normalize(model.encode_text(tokens), dim=-1)
        return cls(model, tokens, text, float(model.logit_scale.exp()), views)

    @torch.no_grad()
    def encode(self, file: bytes, views: int = 0) -> Tensor:
        """Unit features [v, d] of the plain view and of random crops."""
        image = Image.open(io.BytesIO(file)).convert("RGB")
        pixels = torch.stack([PLAIN(image), *(CROP(image) for _ in range((views or self.views) - 1))])
        return normalize(self.model.encode_image(pixels), dim=-1)

    def logits(self, features: Tensor) -> Tensor:
        return self.scale * features @ self.text.T


def zero(scene: Scene) -> Method:
    def answer(file: bytes) -> Tensor:
        logits = scene.logits(scene.encode(file))
        sure = logits[entropy(logits).argsort()[: int(0.3 * scene.views)]]
        return sure.argmax(-1).bincount(minlength=len(scene.text))

    return answer


def mta(scene: Scene, pull: float = 4.0, sharpness: float = 0.2, rounds: int = 5) -> Method:
    def answer(file: bytes) -> Tensor:
        views = scene.encode(file)
        alike = scene.logits(views).softmax(-1)
        affinity, squared = alike @ alike.T, torch.cdist(views, views).square()
        width = squared.sort(1).values[:, 1 : 1 + int(0.3 * (scene.views - 1))].mean(1)  # twice the squared bandwidth
        mode, weight = views[0], torch.full((scene.views,), 1 / scene.views)
        for _ in range(rounds):
            density = (-(views - mode).square().sum(1) / width).exp()
            for _ in range(rounds):
                before, weight = weight, ((density + pull * affinity @ weight) / sharpness).softmax(0)
                if (weight - before).norm() < 1e-6:
                    break
            for _ in range(rounds):
                kernel = weight * (-(views - mode).square().sum(1) / width).exp()
                before, mode = mode, normalize(kernel @ views / kernel.sum(), dim=0)
                if (mode - before).norm() < 1e-6:
                    break
        return scene.logits(mode)

    return answer


def tpt(scene: Scene) -> Method:
    plain = PlainTPT(scene.model, scene.tokens, words=len(TEMPLATE.split("{}")[0].split()))
    return lambda file: plain.answer(scene.encode(file)).logits


def tda(scene: Scene) -> Method:
    """With one view, as for data sets that it augments nothing of."""
    positive, negative = dict[int, list[Any]](), dict[int, list[Any]]()

    def keep(cache: dict[int, list[Any]], label: int, item: tuple[Any, ...], most: int) -> None:
        cache[label] = sorted([*cache.get(label, []), item], key=lambda kept: kept[1])[:most]

    def affinity(feature: Tensor, cache: Mapping[int, list[Any]], beta: float, value: Callable[..., Tensor]) -> Tensor:
        items: list[Any] = [(label, *item) for label, kept in sorted(cache.items()) for item in kept]
        keys, values = (torch.stack(rows) for rows in ([key for _, key, *_ in items], [value(*each) for each in items]))
        return (-beta * (1 - feature @ keys.T)).exp() @ values.float()

    def answer(file: bytes) -> Tensor:
        feature = scene.encode(file, 1)[0]
        logits = scene.logits(feature)
        chance, loss = logits.softmax(-1), float(entropy(logits))
        label, classes = int(logits.argmax()), len(logits)
        keep(positive, label, (feature, loss), 3)
        if 0.2 < loss / math.log2(classes) < 0.5:
            keep(negative, label, (feature, loss, (chance > 0.03) & (chance < 1)), 2)
        one_hot = torch.eye(classes)
        logits = logits + 2 * affinity(feature, positive, 5, lambda label, *_: one_hot[label])
        if negative:
            logits = logits - 0.117 * affinity(feature, negative, 1, lambda *item: item[-1])
        return logits

    return answer


METHODS: Mapping[str, Callable[[Scene], Method]] = {"zero": zero, "mta": mta, "tpt": tpt, "tda": tda}
