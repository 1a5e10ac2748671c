"""Lessons for the tests of strategies that a person teaches."""

from __future__ import annotations

import numpy as np
import torch

from tta_service import Evidence, Strategy, TextSpace
from tta_service.core.strategy import apply_fit
from tta_service.maths import unit


def space(classes: int, seed: int = 0, d: int = 48, scale: float = 100.0) -> TextSpace:
    """Text features that share a direction, as CLIP's do."""
    draw = torch.Generator().manual_seed(seed)
    return TextSpace.of(torch.randn(1, d, generator=draw) + 0.3 * torch.randn(classes, d, generator=draw), scale)


def pictures(classes: int, each: int, seed: int = 0, d: int = 48, apart: float = 0.5) -> tuple[torch.Tensor, list[int]]:
    """[n, d] unit features of a world that its text does not describe, and their classes in turn."""
    draw = torch.Generator().manual_seed(100 + seed)
    centres = torch.randn(1, d, generator=draw) + apart * torch.randn(classes, d, generator=draw)
    labels = [i % classes for i in range(classes * each)]
    return unit(centres[labels] + 0.4 * torch.randn(len(labels), d, generator=draw)), labels


def evidence(feature: torch.Tensor, text: TextSpace) -> Evidence:
    """One view [d], or several [v, d]."""
    return Evidence(feature.reshape(-1, feature.shape[-1]), text)


def taught(strategy: Strategy, text: TextSpace, features: torch.Tensor, labels: list[int], frames=()):
    """A memory that has seen frames, then these lessons, and is fitted."""
    memory = strategy.begin(text)
    with torch.inference_mode():
        for frame in frames:
            _, memory = strategy.adapt(evidence(frame, text), memory)
        for feature, label in zip(features, labels, strict=True):
            memory = strategy.teach(evidence(feature, text), label, memory)
        return apply_fit(memory, strategy.fit(memory, text))


def answers(strategy: Strategy, text: TextSpace, features: torch.Tensor, memory) -> np.ndarray:
    """[n, c]"""
    found = []
    with torch.inference_mode():
        for feature in features:
            logits, memory = strategy.adapt(evidence(feature, text), memory)
            found.append(logits.double().numpy().copy())
    return np.stack(found)
