"""What a request will cost, learnt from those before it: each stage by what it depends on."""

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
MAX_CURVES = 1024  # strategies with their parameters that are remembered; clients choose them


class CostModel:
    """Seconds of decode, look, encode, text, adapt and of what lies between them; nothing known yet costs nothing.

    `forwards` are seconds by rows, measured at warm-up with the reducer `none`; `max_rows` of a batch.
    Used on the event loop only.
    """

    def __init__(self, max_rows: int = 64, forwards: Mapping[int, float] | None = None) -> None:
        self.max_rows, self._measured = max_rows, InterpolatedCost(forwards or {})
        self._forwards: OrderedDict[Hashable, BySize] = OrderedDict()  # of a reducer, or of all: ratio to the shape
        self._curves: OrderedDict[Hashable, UnitCost] = OrderedDict()
        self._overhead = JacobsonEstimator()
        self.no_reduction, self.zero_shot = (
            reducers.build("none"),
            strategies.build("zero_shot"),
        )  # what they are compared with

    # -- the tower

    def learn_forward(self, reducer: Reducer, rows: int, seconds: float) -> None:
        """One forward has ended."""
        if not self._measured:
            self._measured = InterpolatedCost({rows: seconds})
        ratio = seconds / max(self._measured.at(rows), 1e-9)
        for key in (reducer, None):
            _get_or_make(self._forwards, key, BySize).add(rows, ratio)

    def forward(self, reducer: Reducer, rows: int) -> Estimate:
        """One forward of at most `max_rows` rows. A reducer never seen costs what the others do."""
        if rows <= 0 or not self._measured:
            return Estimate()
        ratios = self._forwards.get(reducer) or self._forwards.get(None)
        nearest = ratios.nearest(rows) if ratios else []
        ratio = nearest[0][1] if nearest else Estimate(1.0)
        return ratio.times(self._measured.at(rows))

    def encode(self, reducer: Reducer, rows: int) -> Estimate:
        """As many forwards as the rows need."""
        full, rest = divmod(rows, self.max_rows)
        return self.forward(reducer, self.max_rows).times(full) + self.forward(reducer, rest)

    # -- the other stages

    def learn_decode(self, image: Encoded | Raw, seconds: float) -> None:
        for key in (("decode", _size_class(image)), ("decode",)):
            self._curve(*key).add(1, seconds)

    def decode(self, image: Encoded | Raw | Features) -> Estimate:
        """An image of a size never seen costs what the others do."""
        if isinstance(image, Features):
            return Estimate()
        own = self._curves.get(("decode", _size_class(image)))
        return (own and own.of(1)) or self._estimate("decode", count=1)

    def learn_look(self, augment: str, views: int, seconds: float) -> None:
        self._curve("look", augment if views > 1 else "plain").add(views, seconds)

    def look(self, augment: str, views: int) -> Estimate:
        return self._estimate("look", augment if views > 1 else "plain", count=views)

    def learn_text(self, prompts: int, seconds: float) -> None:
        """So many prompts have been through the text tower."""
        self._curve("text").add(prompts, seconds)

    def text(self, prompts: int) -> Estimate:
        return self._estimate("text", count=prompts)

    def learn_adapt(self, strategy: Strategy[Any], classes: int, views: int, seconds: float) -> None:
        self._curve("adapt", strategy, classes.bit_length()).add(views, seconds)
        self._curve("adapt", strategy.name).add(classes * views, seconds)

    def adapt(self, strategy: Strategy[Any], classes: int, views: int) -> Estimate:
        """With other parameters, or among another number of classes, it is guessed from what the same method took."""
        own = self._curves.get(("adapt", strategy, classes.bit_length()))
        return (own and own.of(views)) or self._estimate("adapt", strategy.name, count=classes * views)

    def learn_overhead(self, seconds: float) -> None:
        """A request has been answered; so long it was with no stage, waits for lanes and for the loop included."""
        self._overhead.add(max(0.0, seconds))

    @property
    def overhead(self) -> Estimate:
        return self._overhead.estimate

    def _curve(self, *key: Hashable) -> UnitCost:
        return _get_or_make(self._curves, key, UnitCost)

    def _estimate(self, *key: Hashable, count: int) -> Estimate:
        curve = self._curves.get(key)
        return (curve and curve.of(count)) or Estimate()


def _get_or_make(among: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T]) -> T:
    """The one of that key, made on first use; the least recently used one goes when there are too many."""
    if key not in among:
        among[key] = make()
        if len(among) > MAX_CURVES:
            among.popitem(last=False)
    among.move_to_end(key)
    return among[key]


def _size_class(image: Encoded | Raw | Features) -> tuple[str, int]:
    """Images of about the same size in the same form."""
    size = len(image.data) if isinstance(image, Encoded) else 0 if isinstance(image, Features) else len(image.pixels)
    return type(image).__name__, size.bit_length()
