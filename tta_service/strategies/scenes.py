"""Scenes: one memory for each kind of scene of a camera. Ours, 2026, by mini-batch k-means (Sculley, 2010, Web-Scale
K-Means Clustering) of one frame at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy, strategies
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Needs, Scope, Strategy, needs_of
from ..maths import unit

Inner = Literal["tda", "boost_adapter", "oga", "dota", "adapt", "dmn"]
MOST = 4
FRAMES = 16  # over which the style is a decaying mean: one frame tells more about its content than about the scene
SETTLED = 64  # frames of a scene before another one may begin beside it
FORGETS = 256  # frames after which a centre follows its scene at a steady pace


class Scenes(NamedTuple):
    """What a session knows of its scenes; scene i has the memory of that place."""

    first: Any
    second: Any
    third: Any
    fourth: Any
    style: Tensor  # [d] mean of the last unit features less their text direction
    frames: Tensor  # () int64
    centres: Tensor  # [scenes, d]
    counts: Tensor  # [scenes] int64; 0: that scene has not begun
    spread: Tensor  # () mean distance of the style to its centre
    current: Tensor  # () int64


@register_strategy("scenes")
@dataclass(frozen=True)
class MemoryPerScene(Strategy[Scenes]):
    """Each frame goes to the memory of the scene whose centre is nearest to its style. Until a second scene begins, all
    is as without it.

    A style is a unit feature less its part along the text of its best class, averaged over the last frames. A new scene
    begins where the style is `apart` times as far from every centre as it usually is. All memories learn every lesson.
    """

    of: Annotated[Inner, "the strategy that remembers, with its defaults"] = "tda"
    count: Annotated[int, Ge(2), Le(MOST), "scenes at most"] = 2
    apart: Annotated[float, Ge(1), Le(100), "usual distances at which a new scene begins"] = 2.0

    def needs(self) -> Needs:
        """Those of the strategy that remembers."""
        needs = needs_of(_inner(self.of))
        return Needs(needs.views, needs.fewest, needs.augment, needs.confident, Scope.SESSION)

    def begin(self, text: TextSpace) -> Scenes:
        """One memory for each scene that there may be."""
        inner, new = _inner(self.of), text.features
        memories = [inner.begin(text) if i < self.count else None for i in range(MOST)]
        whole, d = torch.zeros((), dtype=torch.int64, device=new.device), new.shape[1]
        counts = torch.zeros(self.count, dtype=torch.int64, device=new.device)
        centres = new.new_zeros(self.count, d)
        style, spread = new.new_zeros(d), new.new_zeros(())
        return Scenes(*memories[:MOST], style, whole, centres, counts, spread, whole.clone())  # pyright: ignore[reportCallIssue]

    def adapt(self, seen: Evidence, memory: Scenes) -> tuple[Tensor, Scenes]:
        """The answer of the scene's memory, which learns the frame."""
        self._find_scene(seen, memory)
        place = int(memory.current)
        logits, after = _inner(self.of).adapt(seen, memory[place])
        return logits, memory._replace(**{memory._fields[place]: after})

    def teach(self, seen: Evidence, label: int, memory: Scenes) -> Scenes:
        """Every scene's memory learns it."""
        inner = _inner(self.of)
        learnt = {name: inner.teach(seen, label, memory[i]) for i, name in enumerate(memory._fields[: self.count])}
        return memory._replace(**learnt)

    def explain(self, seen: Evidence, memory: Scenes) -> Mapping[str, Tensor | float]:
        """What the scene's memory says, the `scene` from 0, and how many `scenes` there are."""
        place = int(memory.current)
        notes = dict(_inner(self.of).explain(seen, memory[place]))
        return notes | {"scene": float(place), "scenes": float((memory.counts > 0).sum())}

    def _find_scene(self, seen: Evidence, memory: Scenes) -> None:
        """Follows the style, and counts the frame to its scene. In place."""
        view = seen.views[0].to(memory.style.dtype)
        text = seen.text.features[int(seen.logits()[0].argmax())]
        memory.frames.add_(1)
        memory.style.lerp_(unit(view - (view @ text) * text), 1 / min(int(memory.frames), FRAMES))
        begun = memory.counts > 0
        distance = (memory.centres - memory.style).norm(dim=-1).masked_fill(~begun, torch.inf)
        place = int(distance.argmin()) if begun.any() else 0
        if begun.any() and self._is_new(memory, float(distance[place])):
            place = int(begun.sum())
        if not memory.counts[place]:
            memory.centres[place] = memory.style
        elif int(memory.frames) > FRAMES:
            memory.spread.lerp_(distance[place], 1 / min(int(memory.frames) - FRAMES, FORGETS))
        memory.counts[place] += 1
        memory.centres[place].lerp_(memory.style, 1 / min(int(memory.counts[place]), FORGETS))
        memory.current.fill_(place)

    def _is_new(self, memory: Scenes, distance: float) -> bool:
        settled = bool((memory.counts[memory.counts > 0] >= SETTLED).all())
        return settled and not memory.counts.all() and distance > self.apart * float(memory.spread)


@lru_cache
def _inner(name: str) -> Strategy[Any]:
    return strategies.build(name, {})
