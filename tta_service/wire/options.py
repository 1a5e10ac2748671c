"""How a question wants to be answered: strategy, reduction, cascade and the rest of `Options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..core import catalogue
from ..core.errors import BadRequest
from ..core.reducer import Reduction
from ..core.request import USUAL_THRESHOLD, Cascade
from ..core.strategy import Strategy
from .field_paths import at
from .server_info import Terms
from .v1 import tta_pb2 as pb
from .well_known import plain

SCOPES: dict[int, Literal["all", "augmented", "two_looks"]] = {
    pb.Reduction.SCOPE_UNSPECIFIED: "all",
    pb.Reduction.SCOPE_ALL_VIEWS: "all",
    pb.Reduction.SCOPE_AUGMENTED: "augmented",
    pb.Reduction.SCOPE_TWO_LOOKS: "two_looks",
}
ON_DEADLINE: dict[int, Literal["degrade", "fail"]] = {
    pb.ON_DEADLINE_UNSPECIFIED: "degrade",
    pb.ON_DEADLINE_DEGRADE: "degrade",
    pb.ON_DEADLINE_FAIL: "fail",
}


@dataclass(frozen=True, slots=True)
class Options:
    """As asked. `top_k` shapes the reply alone: the engine never sees it."""

    strategy: Strategy[Any]
    reduction: Reduction
    cascade: Cascade | None
    top_k: int
    seed: int
    explain: bool
    on_deadline: Literal["degrade", "fail"]


def options_of(message: pb.Options, terms: Terms, path: str) -> Options:
    top_k = message.top_k if message.HasField("top_k") else 5
    if top_k < 1:
        raise BadRequest("at least 1 score must be asked for", f"{path}.top_k")
    if message.on_deadline not in ON_DEADLINE:
        raise BadRequest(f"there is no choice {message.on_deadline}", f"{path}.on_deadline")
    strategy = strategy_of(message.strategy, terms, f"{path}.strategy")
    return Options(
        strategy=strategy,
        reduction=reduction_of(message.reduction, terms, f"{path}.reduction"),
        cascade=cascade_of(message.cascade, strategy, terms, f"{path}.cascade")
        if message.HasField("cascade")
        else None,
        top_k=top_k,
        seed=message.seed,
        explain=message.explain,
        on_deadline=ON_DEADLINE[message.on_deadline],
    )


def strategy_of(choice: pb.Choice, terms: Terms, path: str) -> Strategy[Any]:
    """An empty name stands for the server's default."""
    with at(path):
        name, parameters = choice.name or terms.strategy, plain(choice.parameters)
        return catalogue.strategies.build(name, parameters, terms.limits.parameters)


def reduction_of(message: pb.Reduction, terms: Terms, path: str) -> Reduction:
    """An empty name stands for the server's default."""
    if message.scope not in SCOPES:
        raise BadRequest(f"there is no scope {message.scope}", f"{path}.scope")
    with at(f"{path}.reducer"):
        name, parameters = message.reducer.name or terms.reducer, plain(message.reducer.parameters)
        reducer = catalogue.reducers.build(name, parameters, terms.limits.parameters)
    with at(f"{path}.reducer.name", whole=True):
        terms.check_reducer(reducer)
    return Reduction(reducer, SCOPES[message.scope])


def cascade_of(message: pb.Cascade, first: Strategy[Any], terms: Terms, path: str) -> Cascade:
    above = message.above if message.HasField("above") else USUAL_THRESHOLD.get(first.name)
    if above is None:
        said = f"the entropy of {first.name} has no usual threshold: say above which one the image goes on"
        raise BadRequest(said, f"{path}.above")
    if not 0.0 <= above <= 1.0:
        raise BadRequest(f"{above:g} is not within 0 and 1", f"{path}.above")
    return Cascade(strategy_of(message.to, terms, f"{path}.to"), above)
