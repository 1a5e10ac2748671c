"""The cost model: the seconds of each stage, learnt by what the stage depends on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from ...core.catalogue import reducers, strategies
from ...core.reducer import Reducer
from ...core.request import Encoded, Features, Raw
from ...core.strategy import Strategy
from .estimators import BySize, Estimate, InterpolatedCost, JacobsonEstimator, UnitCost

T = TypeVar("T")
MAX_CURVES = 1024  # bounds the memory: clients choose the strategies' parameters, and each choice has its own estimate


class CostModel:
    """Estimates the seconds of decode, look, encode, text and adapt, and of the overhead between them.

    A stage without a measurement costs zero. `forwards` are seconds by rows, measured at warm-up with the reducer
    `none`; `max_rows` is the size of a full batch. Used on the event loop only.
    """

    def __init__(self, max_rows: int = 64, forwards: Mapping[int, float] | None = None) -> None:
        self.max_rows, self._measured = max_rows, InterpolatedCost(forwards or {})
        self._forwards: OrderedDict[Hashable, BySize] = OrderedDict()  # by reducer, None: of all; seconds / `_measured`
        self._curves: OrderedDict[Hashable, UnitCost] = OrderedDict()
        self._overhead = JacobsonEstimator()
        self.no_reduction, self.zero_shot = reducers.build("none"), strategies.build("zero_shot")

    # -- the tower

    def learn_forward(self, reducer: Reducer, rows: int, seconds: float) -> None:
        """Learns one forward of the image tower."""
        if not self._measured:
            self._measured = InterpolatedCost({rows: seconds})
        ratio = seconds / max(self._measured.at(rows), 1e-9)
        for key in (reducer, None):
            _get_or_make(self._forwards, key, BySize).add(rows, ratio)

    def estimate_forward(self, reducer: Reducer, rows: int) -> Estimate:
        """Seconds of one forward of at most `max_rows` rows. An unknown reducer costs as much as the others."""
        if rows <= 0 or not self._measured:
            return Estimate()
        ratios = self._forwards.get(reducer) or self._forwards.get(None)
        nearest = ratios.nearest(rows) if ratios else []
        ratio = nearest[0][1] if nearest else Estimate(1.0)
        return ratio.times(self._measured.at(rows))

    def estimate_encode(self, reducer: Reducer, rows: int) -> Estimate:
        """Seconds of as many forwards as the rows need."""
        full, rest = divmod(rows, self.max_rows)
        return self.estimate_forward(reducer, self.max_rows).times(full) + self.estimate_forward(reducer, rest)

    # -- the other stages

    def learn_decode(self, image: Encoded | Raw, seconds: float) -> None:
        """Learns the decoding of one image."""
        for key in (("decode", _size_class(image)), ("decode",)):
            self._curve(*key).add(1, seconds)

    def estimate_decode(self, image: Encoded | Raw | Features) -> Estimate:
        """Seconds to decode an image. An unknown size costs as much as the others; features cost nothing."""
        if isinstance(image, Features):
            return Estimate()
        own = self._curves.get(("decode", _size_class(image)))
        return (own and own.of(1)) or self._estimate("decode", count=1)

    def learn_look(self, augment: str, views: int, seconds: float) -> None:
        """Learns the cutting of the views of one image."""
        self._curve("look", augment if views > 1 else "plain").add(views, seconds)

    def estimate_look(self, augment: str, views: int) -> Estimate:
        """Seconds to cut so many views. One view is the plain one: the augmentation does not matter."""
        return self._estimate("look", augment if views > 1 else "plain", count=views)

    def learn_text(self, prompts: int, seconds: float) -> None:
        """Learns the encoding of so many prompts."""
        self._curve("text").add(prompts, seconds)

    def estimate_text(self, prompts: int) -> Estimate:
        """Seconds to encode so many prompts."""
        return self._estimate("text", count=prompts)

    def learn_adapt(self, strategy: Strategy[Any], classes: int, views: int, seconds: float) -> None:
        """Learns one answer, for the strategy with its parameters and for its method."""
        self._curve("adapt", strategy, classes.bit_length()).add(views, seconds)
        self._curve("adapt", strategy.name).add(classes * views, seconds)

    def estimate_adapt(self, strategy: Strategy[Any], classes: int, views: int) -> Estimate:
        """Seconds of one answer; with unknown parameters or number of classes, the method's, per class and view."""
        own = self._curves.get(("adapt", strategy, classes.bit_length()))
        return (own and own.of(views)) or self._estimate("adapt", strategy.name, count=classes * views)

    def learn_overhead(self, seconds: float) -> None:
        """Learns how long one request was in no stage; waits for lanes and for the event loop are included."""
        self._overhead.add(max(0.0, seconds))

    def estimate_overhead(self) -> Estimate:
        """Seconds that a request spends in no stage."""
        return self._overhead.estimate

    def _curve(self, *key: Hashable) -> UnitCost:
        return _get_or_make(self._curves, key, UnitCost)

    def _estimate(self, *key: Hashable, count: int) -> Estimate:
        curve = self._curves.get(key)
        return (curve and curve.of(count)) or Estimate()


def _get_or_make(values: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T]) -> T:
    """The value of `key`, made on first use. Above `MAX_CURVES` values the least recently learnt one is evicted."""
    if key not in values:
        values[key] = make()
        if len(values) > MAX_CURVES:
            values.popitem(last=False)
    values.move_to_end(key)
    return values[key]


def _size_class(image: Encoded | Raw | Features) -> tuple[str, int]:
    """Groups images of the same kind and of about the same size in bytes."""
    size = len(image.data) if isinstance(image, Encoded) else 0 if isinstance(image, Features) else len(image.pixels)
    return type(image).__name__, size.bit_length()
