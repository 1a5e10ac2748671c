"""Towers on a simulated GPU: operands are on the right device, and nothing in a forward waits for the host."""

from __future__ import annotations

import pytest
import torch

from tests.clip.small import shake, small_model, timm_visual, tokenizer
from tests.fake_gpu import GPU, fake_gpu, move_to_gpu
from tta_service.clip.encoder_config import EncoderConfig, build_image_encoder
from tta_service.clip.text.prompts import TemplatePrompts
from tta_service.clip.text.tokenize import finish, label_tokens
from tta_service.clip.text.tower import encode_tokens, take_text_apart
from tta_service.core.labels import LabelSet
from tta_service.reducers import catalogue


def siglip() -> torch.nn.Module:
    model = small_model()
    model.visual = shake(timm_visual(class_token=False, global_pool="map"))
    return model


MODELS = {"open_clip": small_model, "siglip": siglip, "resnet": lambda: small_model(RESNET)}
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}


@pytest.mark.parametrize(
    ("name", "precision"),
    [("open_clip", "float16"), ("siglip", "bfloat16"), ("resnet", "float16")],
)
def test_a_forward_stays_on_the_device(name, precision):
    """In one type, too: a kernel that got two would refuse. What the random pattern keeps is sent in its first run, and
    nothing else ever is, nor is a number looked at: so a CUDA graph can be recorded."""
    model, size = MODELS[name]().eval().requires_grad_(False), 64 if name == "resnet" else 32
    model.visual.to(getattr(torch, precision))
    with fake_gpu() as seen, torch.no_grad():
        move_to_gpu(model)
        run = build_image_encoder(model, EncoderConfig(precision), size, 24, name)
        rows, guide = torch.zeros(4, 3, size, size, device=GPU), torch.zeros(5, 24, device=GPU)
        names = catalogue.names() if run.reducible else ["none"]
        for reducer in (None, *(catalogue.build(one) for one in names)):
            if name == "siglip" and reducer is not None and reducer.guided:
                continue  # it refuses
            for _ in range(2 if reducer is not None and reducer.name == "random" else 1):
                seen.uploads.clear()
                features = run(rows, reducer, guide)
            assert features.device == GPU and features.shape == (4, 24)
            assert features.dtype == getattr(torch, precision)
            assert not seen.uploads and not seen.downloads, reducer


def test_labels_and_prompts_stay_on_the_device():
    """Tokens are counted on the host and encoded on the device; a context and what becomes of it stay on the host."""
    model, labels = small_model().eval().requires_grad_(False), LabelSet(("a cat", "a longer dog", "x"))
    tokens = finish(label_tokens(tokenizer(), labels, labels.templates[0], 20))
    with fake_gpu():
        move_to_gpu(model)
        tower = take_text_apart(model)
        assert tower is not None
        with torch.no_grad():
            assert encode_tokens(tower, tokens).device == GPU
        prompts = TemplatePrompts(tower, tokenizer(), labels, tokens)
        assert prompts.context.device.type == "cpu"
        features = prompts.encode(prompts.context.clone().requires_grad_())
        assert features.device.type == "cpu" and features.requires_grad and features.shape == (3, 24)
