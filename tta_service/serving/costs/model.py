"""What a request will cost, learnt from those before it: each stage by what it depends on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from ...core.catalogue import reducers, strategies
from ...core.reducer import Reducer
from ...core.request import Encoded, Features, Raw
from ...core.strategy import Strategy
from .estimators import Curve, Estimate, Running, Shape, Sizes

T = TypeVar("T")
KNOWN = 1024  # strategies with their parameters that are remembered; clients choose them


class Costs:
    """Seconds of decode, look, encode, text, adapt and of what lies between them; nothing known yet costs nothing.

    `forwards` are seconds by rows, measured at warm-up with the reducer `none`; `max_rows` of a batch.
    Used on the event loop only.
    """

    def __init__(self, max_rows: int = 64, forwards: Mapping[int, float] | None = None) -> None:
        self.max_rows, self._shape = max_rows, Shape(forwards or {})
        self._forwards: OrderedDict[Hashable, Sizes] = OrderedDict()  # of a reducer, or of all: ratio to the shape
        self._curves: OrderedDict[Hashable, Curve] = OrderedDict()
        self._between = Running()
        self.exact, self.plain = reducers.build("none"), strategies.build("zero_shot")  # what they are compared with

    # -- the tower

    def forwarded(self, reducer: Reducer, rows: int, seconds: float) -> None:
        """One forward has ended."""
        if not self._shape:
            self._shape = Shape({rows: seconds})
        ratio = seconds / max(self._shape.at(rows), 1e-9)
        for key in (reducer, None):
            _kept(self._forwards, key, Sizes).saw(rows, ratio)

    def forward(self, reducer: Reducer, rows: int) -> Estimate:
        """One forward of at most `max_rows` rows. A reducer never seen costs what the others do."""
        if rows <= 0 or not self._shape:
            return Estimate()
        seen = self._forwards.get(reducer) or self._forwards.get(None)
        near = seen.near(rows) if seen else []
        ratio = near[0][1] if near else Estimate(1.0)
        return ratio.times(self._shape.at(rows))

    def encode(self, reducer: Reducer, rows: int) -> Estimate:
        """As many forwards as the rows need."""
        full, rest = divmod(rows, self.max_rows)
        return self.forward(reducer, self.max_rows).times(full) + self.forward(reducer, rest)

    # -- the other stages

    def decoded(self, image: Encoded | Raw, seconds: float) -> None:
        for key in (("decode", _kind(image)), ("decode",)):
            self._curve(*key).saw(1, seconds)

    def decode(self, image: Encoded | Raw | Features) -> Estimate:
        """An image of a size never seen costs what the others do."""
        if isinstance(image, Features):
            return Estimate()
        own = self._curves.get(("decode", _kind(image)))
        return (own and own.of(1)) or self._of("decode", count=1)

    def looked(self, augment: str, views: int, seconds: float) -> None:
        self._curve("look", augment if views > 1 else "plain").saw(views, seconds)

    def look(self, augment: str, views: int) -> Estimate:
        return self._of("look", augment if views > 1 else "plain", count=views)

    def spoke(self, prompts: int, seconds: float) -> None:
        """So many prompts have been through the text tower."""
        self._curve("text").saw(prompts, seconds)

    def text(self, prompts: int) -> Estimate:
        return self._of("text", count=prompts)

    def adapted(self, strategy: Strategy[Any], classes: int, views: int, seconds: float) -> None:
        self._curve("adapt", strategy, classes.bit_length()).saw(views, seconds)
        self._curve("adapt", strategy.name).saw(classes * views, seconds)

    def adapt(self, strategy: Strategy[Any], classes: int, views: int) -> Estimate:
        """With other parameters, or among another number of classes, it is guessed from what the same method took."""
        own = self._curves.get(("adapt", strategy, classes.bit_length()))
        return (own and own.of(views)) or self._of("adapt", strategy.name, count=classes * views)

    def passed(self, seconds: float) -> None:
        """A request has been answered; so long it was with no stage, waits for lanes and for the loop included."""
        self._between.saw(max(0.0, seconds))

    @property
    def between(self) -> Estimate:
        return self._between.estimate

    def _curve(self, *key: Hashable) -> Curve:
        return _kept(self._curves, key, Curve)

    def _of(self, *key: Hashable, count: int) -> Estimate:
        curve = self._curves.get(key)
        return (curve and curve.of(count)) or Estimate()


def _kept(among: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T]) -> T:
    """The one of that key, made on first use; the least recently used one goes when there are too many."""
    if key not in among:
        among[key] = make()
        if len(among) > KNOWN:
            among.popitem(last=False)
    among.move_to_end(key)
    return among[key]


def _kind(image: Encoded | Raw | Features) -> tuple[str, int]:
    """Images of about the same size in the same form."""
    size = len(image.data) if isinstance(image, Encoded) else 0 if isinstance(image, Features) else len(image.pixels)
    return type(image).__name__, size.bit_length()
