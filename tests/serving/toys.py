"""Toy strategies, reducers and requests: some remember their frames, wait for the test, or fail on purpose."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tests.patience import PATIENCE
from tta_service import Evidence, Needs, Reducer, Scope, Stateless, Strategy, TextSpace
from tta_service.core.request import Request


class Trail(NamedTuple):
    marks: Tensor  # [16] what was seen, in order: the first feature of each frame
    count: Tensor  # []


@dataclass(frozen=True)
class Diary(Strategy[Trail]):
    """Its answer is the sum of its trail, in order: any frame lost, doubled or swapped shows."""

    name: ClassVar[str] = "diary"
    views: int = 1

    def needs(self) -> Needs:
        return Needs(views=self.views, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Trail:
        return Trail(torch.zeros(16), torch.zeros((), dtype=torch.long))

    def adapt(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Trail]:
        memory.marks[int(memory.count) % 16] = seen.views[0, 0]
        memory.count.add_(1)
        weights = torch.arange(1, 17.0)
        return seen.logits()[0] + (memory.marks * weights).sum() * torch.arange(float(len(seen.text.features))), memory


@dataclass(frozen=True)
class Gated(Diary):
    """Releases `entered` when `adapt` begins, and waits for `go`."""

    name: ClassVar[str] = "gated"
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def adapt(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Trail]:
        self.entered.release()
        assert self.go.acquire(timeout=PATIENCE)
        return super().adapt(seen, memory)


@dataclass(frozen=True)
class Clumsy(Diary):
    """Spoils its memory and raises on the frames with these numbers."""

    name: ClassVar[str] = "clumsy"
    fails: tuple[int, ...] = ()
    asked: list[int] = field(default_factory=list, compare=False)

    def adapt(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Trail]:
        self.asked.append(len(self.asked))
        if self.asked[-1] in self.fails:
            memory.marks.fill_(1e6)
            raise ZeroDivisionError("a secret of the inside")
        return super().adapt(seen, memory)


@dataclass(frozen=True)
class Silly(Stateless):
    """Answers a constant for every class."""

    name: ClassVar[str] = "silly"
    says: float = float("nan")

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        return torch.full((len(seen.text.features),), self.says), None


class Anchor(NamedTuple):
    offset: Tensor  # [c]


@dataclass(frozen=True)
class Anchored(Strategy[Anchor]):
    """A memory per label set, made by a gradient."""

    name: ClassVar[str] = "anchored"
    begun: list[str] = field(default_factory=list, compare=False)

    def needs(self) -> Needs:
        return Needs(memory=Scope.LABELS)

    def begin(self, text: TextSpace) -> Anchor:
        self.begun.append(threading.current_thread().name)
        features = text.features.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(features.square().sum(), features)
        return Anchor(gradient.sum(-1))

    def adapt(self, seen: Evidence, memory: Anchor) -> tuple[Tensor, Anchor]:
        return seen.logits()[0] + memory.offset, memory


@dataclass(frozen=True)
class Steep(Stateless):
    """Differentiates the prompts, in the tune lane."""

    name: ClassVar[str] = "steep"
    views: int = 4

    def needs(self) -> Needs:
        return Needs(views=self.views, gradient=True)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        assert threading.current_thread().name.startswith("tta-tune")
        prompts = seen.text.prompts
        context = prompts.context.clone().requires_grad_()
        loss = seen.logits(prompts.encode(context)).softmax(-1).mean(0).square().sum()
        (gradient,) = torch.autograd.grad(loss, context)
        return seen.logits(prompts.encode(context + 0.1 * gradient))[0].detach(), None


@dataclass(frozen=True)
class Halved(Reducer):
    """Drops every other patch in the first layer."""

    name: ClassVar[str] = "halved"

    def reduce(
        self,
        layer: int,
        layers: int,
        x: Tensor,
        sizes: Tensor | None,
        q: Tensor,
        k: Tensor,
        prefix: int,
        guide: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        return (torch.cat([x[:, :prefix], x[:, prefix::2]], 1) if layer == 0 else x), sizes


@dataclass(frozen=True)
class Guided(Halved):
    """Its reduction depends on the label set."""

    name: ClassVar[str] = "guided"
    guided: ClassVar[bool] = True


class Newest:
    """The pending request of a stream: the last of its `frames`."""

    def __init__(self, frame: Request) -> None:
        self.frames = [frame]

    def peek(self) -> Request:
        return self.frames[-1]

    def take(self) -> Request:
        return self.frames[-1]
