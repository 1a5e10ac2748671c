"""Streams of view features for the tests against independent derivations in float64, and the margin rule for them.

A thresholded decision (admit, evict, argmax) sends float32 and float64 apart for good after one near-tie, so a
derivation records how close its closest decision was, in entropies and logits. An image that alone comes too close is
drawn again; a seed whose stream does is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from tta_service import Evidence, Strategy, TextSpace
from tta_service.maths import unit


class Margin:
    """Decisions in float64, and the smallest distance to deciding otherwise.

    Equal rows at different places of a product may differ in the last bit: what is that close counts as a tie.
    """

    def __init__(self) -> None:
        self.smallest = np.inf

    def less(self, a: float, b: float) -> bool:
        if a == b or abs(a - b) < 1e-12:
            return False
        self.smallest = min(self.smallest, abs(a - b))
        return bool(a < b)

    def argmax(self, values: np.ndarray) -> int:
        if len(values) > 1:
            second, first = np.sort(values)[-2:]
            self.less(second, first)
        return int(np.argmax(values))

    def surest(self, entropies: np.ndarray, count: int) -> np.ndarray:
        order = np.argsort(entropies, kind="stable")
        if count < len(order):
            self.less(entropies[order[count - 1]], entropies[order[count]])
        return order[:count]


def space(classes: int, seed: int = 0, d: int = 48, scale: float = 100.0) -> TextSpace:
    """Text features that share a direction, as CLIP's do."""
    draw = torch.Generator().manual_seed(seed)
    return TextSpace.of(torch.randn(1, d, generator=draw) + 0.3 * torch.randn(classes, d, generator=draw), scale)


def views(text: TextSpace, rows: int, draw: torch.Generator) -> Tensor:
    """[v, d] one image of a random class, more or less clear, and siblings that agree more or less."""
    count, d = text.features.shape
    label = int(torch.randint(count, (), generator=draw))
    clear = float(torch.rand((), generator=draw))
    plain = unit(clear * text.features[label] + torch.randn(d, generator=draw) / d**0.5)
    return unit(plain + 0.5 * torch.rand(rows, 1, generator=draw) * torch.randn(rows, d, generator=draw) / d**0.5)


def stream(
    text: TextSpace, rows: int, count: int, seed: int, fits: Callable[[Tensor], bool] = lambda _: True
) -> list[Evidence]:
    """`count` images that fit; every eleventh is one seen before, every thirteenth has identical views."""
    draw = torch.Generator().manual_seed(seed)
    images: list[Tensor] = []
    for i in range(count):
        alike = i % 13 == 12
        drawn = (views(text, rows, draw) for _ in range(1000))
        images.append(next(some for one in drawn if fits(some := one[:1].repeat(rows, 1) if alike else one)))
        if i % 11 == 10:
            images[-1] = images[i - 7]
    return [Evidence(image, text) for image in images]


def answers(strategy: Strategy, frames: list[Evidence]) -> np.ndarray:
    """[frames, c]"""
    memory, logits = strategy.begin(frames[0].text), []
    with torch.inference_mode():
        for seen in frames:
            answer, memory = strategy.adapt(seen, memory)
            logits.append(answer.double().numpy().copy())
    return np.stack(logits)


Derivation = Callable[[list[np.ndarray], np.ndarray, float, Margin], Iterator[np.ndarray]]


def derived(derivation: Derivation, text: TextSpace, rows: int, count: int, least: float = 1e-5):
    """The first stream of a few seeds whose decisions are clear, and the derivation's answers [frames, c] to it."""
    t = text.features.double().numpy()

    def followed(images: list[Tensor]) -> tuple[np.ndarray, float]:
        margin = Margin()
        plain = [image.double().numpy() for image in images]
        return np.stack(list(derivation(plain, t, text.scale, margin))), margin.smallest

    for seed in range(200):
        frames = stream(text, rows, count, seed, lambda image: followed([image])[1] >= least)
        expected, smallest = followed([seen.views for seen in frames])
        if smallest >= least:
            return frames, expected
    raise AssertionError("no seed among 200 keeps its decisions apart")


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(-1)
