"""A simulated camera: it pans and zooms over real photographs while lighting and weather change."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from ..types.frames import Frame
from .extras import import_package
from .gate import limit_count, limit_rate
from .photographs import find_photographs


@dataclass(frozen=True, slots=True)
class VirtualSource:
    """`frames` pictures (0: without end) of `width` × `height` pixels; equal seeds give equal pictures.

    Each photograph is shown for `shot` frames. Each condition (day, dusk, noise, fog, blur, day, …) rises and falls
    within `drift` frames, and reaches `strength` (0 to 1). With `fps` the camera is live; without it, frames come
    on demand.
    """

    frames: int = 200
    fps: float = 0.0
    seed: int = 0
    width: int = 448
    height: int = 336
    shot: int = 20
    drift: int = 30
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str) -> VirtualSource:
        """From `frames=200,fps=0,seed=1`. Raises ValueError, naming the word that is wrong."""
        defaults: dict[str, Any] = {field.name: field.default for field in fields(cls)}
        given: dict[str, Any] = {}
        for word in filter(None, text.split(",")):
            name, _, value = word.partition("=")
            if name not in defaults:
                raise ValueError(f"a virtual camera has no {name!r}; it has {', '.join(defaults)}")
            try:
                given[name] = type(defaults[name])(value)
            except ValueError:
                raise ValueError(f"virtual camera: {name} is not a number: {value!r}") from None
        return cls(**given)

    def __post_init__(self) -> None:
        if min(self.frames, self.fps, self.seed) < 0 or min(self.width, self.height, self.shot, self.drift) < 1:
            raise ValueError("virtual camera: sizes, shot and drift are at least 1, frames, fps and seed at least 0")
        if not 0 <= self.strength <= 1:
            raise ValueError("virtual camera: strength is between 0 and 1")

    @property
    def live(self) -> bool:
        """Whether it has a rate of its own."""
        return self.fps > 0

    def __iter__(self) -> Iterator[Frame]:
        import_package("PIL", "Pillow", "the virtual camera")
        import_package("numpy", "numpy", "the virtual camera")
        find_photographs()
        return limit_rate(limit_count(map(self.frame, itertools.count(1)), self.frames), self.fps)

    def count(self) -> int:
        """The number of pictures; 0: without end."""
        return self.frames

    def frame(self, number: int) -> Frame:
        """Frame 1, 2, …, which depends on the fields and on `number` alone."""
        import numpy as np

        from .corruptions import CONDITIONS

        photographs = find_photographs()
        shot, moment = divmod(number - 1, self.shot)
        photograph = photographs[(shot + self.seed) % len(photographs)]
        phase, progress = divmod(number - 1, self.drift)
        condition = CONDITIONS[phase % len(CONDITIONS)]
        amount = self.strength * math.sin(math.pi * (progress + 0.5) / self.drift) ** 2
        pixels = self._render(str(photograph.path), shot, moment / self.shot)
        pixels = condition(pixels, amount, np.random.default_rng((self.seed, number)))
        return Frame(number, pixels, scene=f"{photograph.label}, {condition.__name__} {amount:.0%}")

    def _render(self, path: str, shot: int, progress: float) -> Any:
        """The picture at `progress` (0 to 1) of a shot, which moves smoothly from one random framing to another."""
        import numpy as np
        from PIL import Image

        photograph = _load_photograph(path)
        start, end = (_draw_box(rng, photograph.size, self.width / self.height) for rng in
                      (np.random.default_rng((self.seed, shot, side)) for side in (1, 2)))  # fmt: skip
        ease = (1 - math.cos(math.pi * progress)) / 2
        box = tuple(a + (b - a) * ease for a, b in zip(start, end))
        return np.array(photograph.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box))


def _draw_box(rng: Any, size: tuple[int, int], aspect: float) -> tuple[float, float, float, float]:
    """A random framing of the given aspect, 60 to 100 % of the largest: left, top, right, bottom in pixels."""
    width = min(size[0], size[1] * aspect) * rng.uniform(0.6, 1.0)
    height = width / aspect
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, max(0.0, size[1] - height))
    return left, top, left + width, min(top + height, float(size[1]))


@lru_cache(maxsize=16)
def _load_photograph(path: str) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")
