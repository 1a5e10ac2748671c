"""Label sets and views for the conformance checks, from `FakeCLIP`'s text tower."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..core.evidence import Evidence
from ..core.labels import LabelSet, TextSpace
from ..core.memory import map_tensors, tensors
from ..core.strategy import Scope, Strategy
from ..maths import unit
from .fake_clip import FakeCLIP

DIMENSION = 32


@lru_cache(maxsize=8)
def text_space(classes: int, templates: tuple[str, ...] = ("a photo of a {}.",)) -> TextSpace:
    """`classes` names, every third of several words, with prompts and embedder."""
    names = tuple(f"thing {i}" if i % 3 else f"rather_long name {i}" for i in range(classes))
    return FakeCLIP(dimension=DIMENSION).text_space(LabelSet(names, templates))


def scene(text: TextSpace, rows: int, seed: int = 0) -> Evidence:
    """One image: a plain view near the text feature of its class, and other views at growing distances from it."""
    draw = torch.Generator().manual_seed(seed)
    count, width = text.features.shape
    plain = text.features[seed % count] + 0.15 * torch.randn(width, generator=draw)
    spread = torch.linspace(0.0, 0.3, rows)[:, None]  # row 0 is the plain view itself
    return Evidence(unit(plain + spread * torch.randn(rows, width, generator=draw)), text)


def mode(strategy: Strategy[Any]) -> AbstractContextManager[Any]:
    """The context in which the engine runs `adapt`: with autograd if `needs` asks for gradients, else without."""
    needs = strategy.needs()
    if needs.gradient:
        return torch.enable_grad()
    return torch.no_grad() if needs.memory is Scope.LABELS else torch.inference_mode()


def begin(strategy: Strategy[Any], text: TextSpace) -> Any:
    """The memory before the first frame, cloned so that the caller owns its tensors."""
    with torch.no_grad():
        memory = strategy.begin(text)
    return map_tensors(memory, Tensor.clone)


def answer(strategy: Strategy[Any], seen: Evidence, memory: Any) -> tuple[Tensor, Any]:
    """Logits [c] of `adapt`, and the memory after it."""
    with mode(strategy):
        return strategy.adapt(seen, memory)


def stream(strategy: Strategy[Any], frames: list[Evidence], memory: Any) -> tuple[list[Tensor], Any]:
    """The answers to `frames` in their order, and the memory after the last."""
    answers: list[Tensor] = []
    for seen in frames:
        logits, memory = answer(strategy, seen, memory)
        answers.append(logits.clone())
    return answers, memory


def frames(strategy: Strategy[Any], text: TextSpace, count: int, seed: int = 0) -> list[Evidence]:
    """`count` images of as many rows as the strategy asks for, at most 16; the last one comes twice."""
    rows = max(min(strategy.needs().views, 16), strategy.needs().fewest)
    scenes = [scene(text, rows, seed + i) for i in range(count - 1)]
    return [*scenes, scenes[-1]]


def copy_tensors(memory: Any) -> dict[str, Tensor]:
    """Copies of a memory's tensors, as a snapshot holds them."""
    return {name: tensor.clone() for name, tensor in tensors(memory).items()}


def are_equal(one: dict[Any, Tensor], other: dict[Any, Tensor]) -> bool:
    """Whether both hold the same names and bit-identical tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
