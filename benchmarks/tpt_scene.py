"""What tpt.py looks at: ViT-B-16's text tower with random weights, label sets, and images near their classes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import open_clip
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor

from tta_service import LabelSet, TextSpace
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.text.prompts import TemplatePrompts
from tta_service.core.labels import Prompts
from tta_service.maths import unit

VIEWS = 64
TEMPLATE = "a photo of a {}."


def text_part(model: str = "ViT-B-16") -> FrozenCLIP:
    """The text tower as open_clip initialises it, at CLIP's trained scale of 100; the image tower is a stub."""
    torch.manual_seed(0)
    config = open_clip.get_model_config(model)
    assert config
    config["vision_cfg"] = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1}
    clip = open_clip.CLIP(**config)
    torch.nn.init.constant_(clip.logit_scale, math.log(100.0))
    return FrozenCLIP(clip, open_clip.get_tokenizer(model), name=model)


def label_set(kind: str, classes: int) -> LabelSet:
    """`imagenet`: its names, evenly spaced; `short`: names of one token."""
    if kind == "imagenet":
        all_names = enumerate(IMAGENET_CLASSNAMES)  # two of them stand there twice, and labels are distinct
        names = tuple(name if IMAGENET_CLASSNAMES.index(name) == i else f"{name} two" for i, name in all_names)
    else:
        encoder = open_clip.get_tokenizer("ViT-B-16").encoder
        whole = (word.removesuffix("</w>") for word in encoder if word.endswith("</w>"))
        names = tuple([word for word in whole if word.isalpha() and word.isascii() and len(word) > 2][:1000])
    return LabelSet(names[:: len(names) // classes][:classes], (TEMPLATE,))


def tokens_of(clip: FrozenCLIP, labels: LabelSet) -> Tensor:
    """[c, 77]"""
    return clip.tokenize(labels.prompts(TEMPLATE))


class RecordingPrompts:
    """Prompts that remember the last gradient they gave, and for how many classes they were asked."""

    def __init__(self, prompts: TemplatePrompts) -> None:
        self.context, self.encode, self._prompts = prompts.context, prompts.encode, prompts
        self.last, self.asked = torch.empty(0), 0

    def gradient(self, d_features: Tensor) -> Tensor:
        self.asked = int(d_features.ne(0).any(1).sum())
        self.last = self._prompts.gradient(d_features)
        return self.last


def space(clip: FrozenCLIP, text: TextSpace, keep_bytes: int) -> TextSpace:
    """The same text space; its prompts keep activations up to a limit, and are overheard."""
    assert clip.text_tower is not None
    prompts = TemplatePrompts(clip.text_tower, clip.tokenize, text.labels, tokens_of(clip, text.labels), keep_bytes)
    heard: Prompts = RecordingPrompts(prompts)
    return TextSpace(text.labels, text.features, text.scale, lambda: heard)


def images(text: TextSpace) -> Iterator[Tensor]:
    """View features [64, d] whose logits spread as CLIP's do: some images are clear, some are between two classes."""
    draw = torch.Generator().manual_seed(1)
    classes, dimension = text.features.shape
    towards = unit(text.features - text.features.mean(0))
    while True:
        one, other = torch.randint(classes, (2,), generator=draw).tolist()
        clear, between = torch.rand(2, generator=draw).tolist()
        noise = torch.randn(1 + VIEWS, dimension, generator=draw) / dimension**0.5
        between = 0.5 * between**0.5
        plain = (0.2 + 0.5 * clear) * unit(towards[one].lerp(towards[other], between)) + noise[0]
        crops = plain + 0.7 * torch.rand(VIEWS, 1, generator=draw) * noise[1:]
        crops[0] = plain
        yield unit(crops)
