"""StatA: the last frames of a stream, clustered together, with statistics anchored to the text.
Zanella et al., CVPR 2025, arXiv:2501.03729. Its confidences are close to 1 on a static scene, where one class with a
tiny covariance remains. A frame costs about 11 · window · classes · features multiply-adds, half a second at
64 × 1000 × 512 on one core.

The published method takes a batch. Here the batch is a window of the stream, and the newest row is the answer. Earlier
answers are not revised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Needs, Scope, Strategy
from ..maths import unit

INNER = 5  # updates of the assignments between two updates of the statistics
FLOOR, LEAST = 1e-6, 1e-12  # of a variance; of a class's summed assignments


class Window(NamedTuple):
    """The plain views of the last frames."""

    features: Tensor  # [window, d]
    head: Tensor  # () int64 where the next frame goes
    count: Tensor  # () int64 frames seen


@register_strategy("stata")
@dataclass(frozen=True)
class StatA(Strategy[Window]):
    """Updates, then answers with log assignments. It is zero-shot until there are more frames than neighbours."""

    window: Annotated[int, Ge(4), Le(2500), "frames solved together"] = 64
    alpha: Annotated[float, Ge(0), Le(1e6), "strength of the text anchor"] = 1.0
    neighbours: Annotated[
        int, Ge(1), Le(64), "nearest frames that share their assignment; zero-shot until there are more"
    ] = 3
    temperature: Annotated[float, Ge(1e-12), Le(1e4), "softness of the likelihood"] = 50.0
    iterations: Annotated[int, Ge(1), Le(100), "rounds of assignments, statistics between them"] = 11

    def needs(self) -> Needs:
        """One view; a memory for each session."""
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Window:
        """An empty window."""
        new, zero = text.features, torch.zeros((), dtype=torch.int64)
        return Window(new.new_zeros(self.window, new.shape[1]), zero, zero.clone())

    def adapt(self, seen: Evidence, memory: Window) -> tuple[Tensor, Window]:
        """Log assignments [c] of the newest frame among those in the window, by `solve`."""
        memory.features[int(memory.head)] = seen.views[0]
        memory.head.add_(1).remainder_(self.window)
        memory.count.add_(1)
        rows = memory.features[: int(memory.count)]
        if len(rows) <= self.neighbours:
            return seen.logits()[0].log_softmax(-1), memory
        rows = rows if memory.count < self.window else rows.roll(-int(memory.head), 0)  # oldest first
        return self.solve(rows.double(), seen.text)[-1].float(), memory

    def explain(self, seen: Evidence, memory: Window) -> Mapping[str, Tensor | float]:
        """`fill` is the filled fraction of the window."""
        return {"fill": min(float(memory.count), self.window) / self.window}

    def solve(self, x: Tensor, text: TextSpace) -> Tensor:
        """Log assignments [n, c] of the frames x [n, d], in float64: covariances of a static scene are near 0."""
        t = text.features.double()
        prior = (text.scale * x @ t.T).log_softmax(-1)  # [n, c]
        links = neighbourhood(x, self.neighbours)
        middle = x.mean(0)
        x = x - middle
        z, mu = prior.exp(), t
        start = spread(x, t - middle, z).clamp_min(0).sum(0) / len(x)  # [d] one variance for all classes
        cov = start.clamp_min(FLOOR).expand_as(t)
        for left in reversed(range(self.iterations)):
            likely = log_density(x, mu - middle, cov)
            for _ in range(INNER):
                smooth = self.temperature / (2 * self.neighbours) * (links @ z)
                log_z = (prior + (likely + smooth) / self.temperature).log_softmax(-1)
                z = log_z.exp()
            if left:
                mu, cov = self._statistics(x, middle, t, z, start)
        return log_z

    def _statistics(self, x: Tensor, middle: Tensor, t: Tensor, z: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances [c, d]. The fewer frames a class has, the closer they are to the text."""
        frames = z.argmax(-1).bincount(minlength=len(t))[:, None]  # [c, 1]
        trust = torch.where(frames > 0, frames / (self.alpha + frames), 0.0).to(z)
        mass = z.sum(0)[:, None]
        mean = unit((z.T @ x + mass * middle) / mass.clamp_min(LEAST))
        mu = unit(trust * mean + (1 - trust) * t)
        own = (spread(x, mu - middle, z) / mass.clamp_min(LEAST)).clamp_min(0)
        cov = trust * own + (1 - trust) * (start + (t - mu).square())
        return mu, cov.clamp_min(FLOOR)


def neighbourhood(x: Tensor, count: int) -> Tensor:
    """[n, n] similarity of each row to its `count` nearest others, plus its transpose; the rest is 0."""
    similar = x @ x.T
    order = similar.round(decimals=12).fill_diagonal_(-torch.inf).argsort(dim=-1, descending=True, stable=True)
    nearest = torch.zeros_like(similar).scatter(1, order[:, :count], 1.0) * similar
    return nearest + nearest.T


def spread(x: Tensor, mu: Tensor, z: Tensor) -> Tensor:
    """Σ_i z_ic (x_i − μ_c)², [c, d], for rows x [n, d] and means mu [c, d] around zero."""
    return z.T @ x.square() - 2 * mu * (z.T @ x) + mu.square() * z.sum(0)[:, None]


def log_density(x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
    """[n, c] log of a diagonal Gaussian, up to a constant."""
    precise = 1 / cov
    squares = x.square() @ precise.T - 2 * x @ (mu * precise).T + (mu.square() * precise).sum(-1)
    return -0.5 * (squares + cov.log().sum(-1))
