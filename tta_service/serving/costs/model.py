"""The cost model: the seconds of each stage, learnt by what the stage depends on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from cachetools import LRUCache

from ...core.catalogue import reducers, strategies
from ...core.reducer import Reducer
from ...core.request import Encoded, Features, Raw
from ...core.strategy import Strategy
from .estimators import Estimate, InterpolatedCost, UnitCost

Key = tuple[Hashable, ...]  # a stage and what it depends on
MAX_CURVES = 1024  # bounds the memory: clients choose the strategies' parameters, and each choice has its own estimate
MAX_SAMPLES = 256  # measurements that are kept until an estimate is asked for


class CostModel:
    """Estimates the seconds of decode, look, encode, text and adapt, and of the overhead between them.

    A stage without a measurement costs zero. `forwards` are seconds by rows, measured at warm-up with the reducer
    `none`; `max_rows` is the size of a full batch. Measurements are only kept until somebody asks for an estimate;
    while no request has a deadline, nobody does. Used on the event loop only.
    """

    def __init__(self, max_rows: int = 64, forwards: Mapping[int, float] | None = None) -> None:
        self.max_rows, self._measured = max_rows, InterpolatedCost(forwards) if forwards else None
        self._samples: list[tuple[Key, int, float]] = []  # (key, items, seconds for each item; of a forward, for all)
        self._curves: LRUCache[Key, UnitCost] = LRUCache(MAX_CURVES)
        self.no_reduction, self.zero_shot = reducers.build("none"), strategies.build("zero_shot")

    # -- the tower

    def learn_forward(self, reducer: Reducer, rows: int, seconds: float) -> None:
        """Learns one forward of the image tower."""
        if self._measured is None:
            self._measured = InterpolatedCost({rows: seconds})
        self._learn((("forward", reducer), rows, seconds), (("forward",), rows, seconds))

    def estimate_forward(self, reducer: Reducer, rows: int) -> Estimate:
        """Seconds of one forward of at most `max_rows` rows. An unknown reducer costs as much as the others."""
        if rows <= 0 or self._measured is None:
            return Estimate()
        ratios = self._curve("forward", reducer) or self._curve("forward")
        ratio = ratios.nearest(rows)[0][1] if ratios else Estimate(1.0)
        return ratio.times(self._measured.at(rows))

    def estimate_encode(self, reducer: Reducer, rows: int) -> Estimate:
        """Seconds of as many forwards as the rows need."""
        full, rest = divmod(rows, self.max_rows)
        return self.estimate_forward(reducer, self.max_rows).times(full) + self.estimate_forward(reducer, rest)

    # -- the other stages

    def learn_decode(self, image: Encoded | Raw, seconds: float) -> None:
        """Learns the decoding of one image."""
        self._learn((("decode", *_size_class(image)), 1, seconds), (("decode",), 1, seconds))

    def estimate_decode(self, image: Encoded | Raw | Features) -> Estimate:
        """Seconds to decode an image. An unknown size costs as much as the others; features cost nothing."""
        if isinstance(image, Features):
            return Estimate()
        own = self._curve("decode", *_size_class(image))
        return own.of(1) if own else self._estimate(1, "decode")

    def learn_look(self, augment: str, views: int, seconds: float) -> None:
        """Learns the cutting of the views of one image."""
        self._learn((("look", augment if views > 1 else "plain"), views, seconds / views))

    def estimate_look(self, augment: str, views: int) -> Estimate:
        """Seconds to cut so many views. One view is the plain one: the augmentation does not matter."""
        return self._estimate(views, "look", augment if views > 1 else "plain")

    def learn_text(self, prompts: int, seconds: float) -> None:
        """Learns the encoding of so many prompts."""
        self._learn((("text",), prompts, seconds / prompts))

    def estimate_text(self, prompts: int) -> Estimate:
        """Seconds to encode so many prompts."""
        return self._estimate(prompts, "text")

    def learn_adapt(self, strategy: Strategy[Any], classes: int, views: int, seconds: float) -> None:
        """Learns one answer, for the strategy with its parameters and for its method."""
        self._learn(
            (("adapt", strategy, classes.bit_length()), views, seconds / views),
            (("adapt", strategy.name), classes * views, seconds / (classes * views)),
        )

    def estimate_adapt(self, strategy: Strategy[Any], classes: int, views: int) -> Estimate:
        """Seconds of one answer; with unknown parameters or number of classes, the method's, per class and view."""
        own = self._curve("adapt", strategy, classes.bit_length())
        return own.of(views) if own else self._estimate(classes * views, "adapt", strategy.name)

    def learn_overhead(self, seconds: float) -> None:
        """Learns how long one request was in no stage; waits for lanes and for the event loop are included."""
        self._learn((("overhead",), 1, max(0.0, seconds)))

    def estimate_overhead(self) -> Estimate:
        """Seconds that a request spends in no stage."""
        return self._estimate(1, "overhead")

    def _learn(self, *samples: tuple[Key, int, float]) -> None:
        self._samples += samples
        if len(self._samples) >= MAX_SAMPLES:
            self._fold()

    def _fold(self) -> None:
        """Folds the samples into the curves. Above `MAX_CURVES` curves the least recently used ones are evicted."""
        samples, self._samples = self._samples, []
        for key, count, each in samples:
            if self._measured and key[0] == "forward":  # its curves are shares of what warm-up measured
                each /= max(self._measured.at(count), 1e-9)
            if key not in self._curves:
                self._curves[key] = UnitCost()
            self._curves[key].add(count, each)

    def _curve(self, *key: Hashable) -> UnitCost | None:
        if self._samples:
            self._fold()
        return self._curves.get(key)

    def _estimate(self, count: int, *key: Hashable) -> Estimate:
        curve = self._curve(*key)
        return curve.of(count) if curve else Estimate()


def _size_class(image: Encoded | Raw) -> tuple[str, int]:
    """Groups images of the same kind and of about the same size in bytes."""
    return type(image).__name__, len(image.data if isinstance(image, Encoded) else image.pixels).bit_length()
