"""What a request runs with: the parts that all requests share, its timer, its deadline, and the rows that it claims."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...core.catalogue import reducers
from ...core.errors import BadParameters, DeadlineTooShort, Unsupported
from ...core.evidence import Views
from ...core.reducer import Reducer, Reduction
from ...core.request import STAGES, Encoded, Features, Raw, Request
from ...core.strategy import Strategy, learns_none, needs_of, predicts_first
from ...core.token_map import TokenMap
from ...images.headers import guess_pixels
from ...maths import confident_count
from ..admission.claims import Claim
from ..admission.controller import AdmissionController
from ..batching.batcher import Batcher
from ..concurrency import Executors
from ..costs.model import CostModel
from ..text.cache import TextSpaceCache
from .calibrating import Calibrator
from .fitting import Fitter
from .switches import StrategySwitches

Decode = Callable[[Encoded | Raw], Tensor]  # -> [3, h, w] uint8
MakeThumbnail = Callable[[Tensor], bytes]  # pixels [3, h, w] uint8 -> a JPEG
Look = Callable[[Tensor, int, int, str], Views]  # pixels [3, h, w] uint8, count, seed, augment
MapTokens = Callable[[Tensor, Reducer, Tensor | None], TokenMap | None]  # one view, its reducer, the texts [c, d]
UNLIMITED = nullcontext()
PIXELS_OF_A_ROW = 1 << 19  # that take about as long to decode as a row takes in the tower
LARGEST = 1 << 26  # pixels that count, so that no damaged header takes the turns of its client for long


@dataclass(slots=True, eq=False)
class Resources:
    """What all requests share. The functions `decode`, `look`, `make_thumbnail`, `tokens_left` and `map_tokens` run
    in a lane, all else on the event loop."""

    decode: Decode
    look: Look
    batcher: Batcher  # with the same `costs`, which it updates
    text_spaces: TextSpaceCache
    lanes: Executors
    costs: CostModel
    preparing: AdmissionController  # whose views are cut next
    large_pictures: AdmissionController  # which of them are decoded
    tokens_left: Callable[[Reducer], tuple[int, ...]]  # patch tokens of a view after each block
    map_tokens: MapTokens
    fitter: Fitter
    calibrator: Calibrator
    make_thumbnail: MakeThumbnail | None = None  # of pictures that sessions remember
    explain_every: int = 0  # one answer of so many is explained for the metrics; 0: none
    switches: StrategySwitches = field(default_factory=StrategySwitches)
    no_reduction: Reduction = field(default_factory=lambda: Reduction(reducers.build("none")))
    queued_tuning: dict[object, float] = field(default_factory=dict[object, float])  # expected seconds in the tune lane
    _explainable: int = 0

    def should_explain(self, request: Request, strategy: Strategy[Any]) -> bool:
        """Whether to explain: on demand, for a decision, or as a sample that costs the caller no backward pass."""
        slow = needs_of(strategy).gradient and predicts_first(strategy)
        self._explainable += not slow
        sampled = self.explain_every > 0 and not slow and self._explainable % self.explain_every == 0
        none = request.trust.decides and learns_none(strategy)  # says there how probable "none of these" is
        return request.explain or sampled or none


class StageTimer:
    """Seconds by stage, from the request's arrival on, and its deadline, which is checked before each stage.

    A wait between stages (for admission, for a lane) counts in the stage whose lap ends it. `received`: monotonic
    seconds, when the engine got a request without a time of arrival. `busy` sums the seconds of stages and of waits
    that are planned for; what is left of a request's time is overhead.
    """

    def __init__(self, request: Request, received: float) -> None:
        self._arrived = self._last = received if request.arrived is None else request.arrived
        self._deadline, self.busy = request.deadline, 0.0
        self._seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def lap(self, stage: str, *inner: tuple[str, float], before: str = "") -> float:
        """Adds the time since the last lap to `stage`, less the seconds of `inner` stages, and returns all of it.

        `before` names the stage that comes next: raises `DeadlineTooShort` if there is no time left for it.
        """
        now = time.monotonic()
        whole = spent = now - self._last
        for name, seconds in inner:
            self._seconds[name] += min(seconds, spent)
            spent -= min(seconds, spent)
        self._seconds[stage] += spent
        self._last = now
        if before and self._deadline is not None and now >= self._deadline:
            raise DeadlineTooShort(f"the deadline passed before {before}")
        return whole

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and their `total` since arrival."""
        return {**self._seconds, "total": time.monotonic() - self._arrived}


def within_deadline(until: float | None) -> AbstractAsyncContextManager[None]:
    """Raises `DeadlineTooShort` when `until` (monotonic seconds; None or infinite: no deadline) passes in the block."""
    return UNLIMITED if until is None or math.isinf(until) else _within(until)


@asynccontextmanager
async def _within(until: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(until - time.monotonic()):
            yield
    except TimeoutError:
        raise DeadlineTooShort("the deadline has passed") from None


def claim_for(request: Request, admit_by: Callable[[], float]) -> Claim:
    """The request's claim on admission. A cascade's second strategy is added when it runs."""
    rows, cost = work_of(request, request.strategy)
    return Claim(rows, request.streamed, cost, request.client, admit_by)


def work_of(request: Request, strategy: Strategy[Any]) -> tuple[int, int]:
    """Rows, and their cost: a strategy with gradients passes over its rows once more in each of its steps."""
    rows = rows_needed(request, strategy)
    return rows, rows * (1 + getattr(strategy, "steps", 1)) if needs_of(strategy).gradient else rows


def rows_needed(request: Request, strategy: Strategy[Any], views: int = 0) -> int:
    """Rows that the strategy will send to the image tower, at least one. `views`: how many it gets; 0: all it needs."""
    if isinstance(request.image, Features):
        return 1
    needs = needs_of(strategy)
    views = (views or needs.views) + pixels_of(request) // PIXELS_OF_A_ROW
    second_look = 1 + confident_count(views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return views + second_look


def pixels_of(request: Request) -> int:
    """Pixels that will be decoded, as the first bytes say. Of those that will be refused not all count."""
    image, pixels = request.image, 0
    if isinstance(image, Raw):
        pixels = image.width * image.height
    elif isinstance(image, Encoded):
        pixels = guess_pixels(image.data)
    return min(pixels, LARGEST)


def check_combination(request: Request) -> None:
    """Raises `Unsupported` or `BadParameters` for a combination that can never be answered."""
    strategies = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    if request.cascade and request.cascade.to == request.strategy:
        raise BadParameters("a cascade goes on to another strategy than the first", "options.cascade.to")
    if request.reduction.scope == "two_looks" and not isinstance(request.image, Features):
        for strategy in strategies:
            if needs_of(strategy).confident >= 1:
                message = f"{strategy.name} reads every view, so there is nothing to choose for a second look"
                raise Unsupported(message, "options.reduction.scope")
