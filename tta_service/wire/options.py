"""How a request is to be answered: strategy, reduction, cascade and the rest of `Options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..core import catalogue
from ..core.errors import BadRequest
from ..core.reducer import Reduction
from ..core.request import USUAL_THRESHOLD, Cascade
from ..core.strategy import Strategy
from ..core.trust import TrustOptions
from .field_paths import field_prefix
from .server_info import ServerInfo, parse_once
from .trust import parse_trust
from .v1 import tta_pb2 as pb
from .well_known import from_struct

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
    """The options of a request, with defaults filled in. `top_k` shapes only the response; the engine never sees it."""

    strategy: Strategy[Any]
    reduction: Reduction
    cascade: Cascade | None
    top_k: int
    seed: int
    explain: bool
    guard: bool
    on_deadline: Literal["degrade", "fail"]
    ask: bool
    trust: TrustOptions


@parse_once
def parse_options(message: pb.Options, server_info: ServerInfo, path: str) -> Options:
    """The options in a message at `path`. Raises `TTAError` that names the field."""
    top_k = message.top_k if message.HasField("top_k") else 5
    if top_k < 1:
        raise BadRequest("at least 1 score must be asked for", f"{path}.top_k")
    if message.on_deadline not in ON_DEADLINE:
        raise BadRequest(f"there is no choice {message.on_deadline}", f"{path}.on_deadline")
    strategy = parse_strategy(message.strategy, server_info, f"{path}.strategy")
    return Options(
        strategy=strategy,
        reduction=parse_reduction(message.reduction, server_info, f"{path}.reduction"),
        cascade=parse_cascade(message.cascade, strategy, server_info, f"{path}.cascade")
        if message.HasField("cascade")
        else None,
        top_k=top_k,
        seed=message.seed,
        explain=message.explain,
        guard=message.guard if message.HasField("guard") else True,
        on_deadline=ON_DEADLINE[message.on_deadline],
        ask=message.ask,
        trust=parse_trust(message, path),
    )


@parse_once
def parse_strategy(choice: pb.Choice, server_info: ServerInfo, path: str) -> Strategy[Any]:
    """The strategy that a message chooses; an empty name chooses the server's default."""
    with field_prefix(path):
        name, parameters = choice.name or server_info.strategy, from_struct(choice.parameters)
        return catalogue.strategies.build(name, parameters, server_info.limits.parameters)


@parse_once
def parse_reduction(message: pb.Reduction, server_info: ServerInfo, path: str) -> Reduction:
    """The reduction that a message chooses; an empty name chooses the server's default reducer."""
    if message.scope not in SCOPES:
        raise BadRequest(f"there is no scope {message.scope}", f"{path}.scope")
    with field_prefix(f"{path}.reducer"):
        name, parameters = message.reducer.name or server_info.reducer, from_struct(message.reducer.parameters)
        reducer = catalogue.reducers.build(name, parameters, server_info.limits.parameters)
    with field_prefix(f"{path}.reducer.name", whole=True):
        server_info.check_reducer(reducer)
    return Reduction(reducer, SCOPES[message.scope])


def parse_cascade(message: pb.Cascade, first: Strategy[Any], server_info: ServerInfo, path: str) -> Cascade:
    """The cascade after the strategy `first`, by default above its usual threshold of relative entropy."""
    above = message.above if message.HasField("above") else USUAL_THRESHOLD.get(first.name)
    if above is None:
        reason = f"the entropy of {first.name} has no usual threshold: say above which one the image goes on"
        raise BadRequest(reason, f"{path}.above")
    if not 0.0 <= above <= 1.0:
        raise BadRequest(f"{above:g} is not within 0 and 1", f"{path}.above")
    return Cascade(parse_strategy(message.to, server_info, f"{path}.to"), above)
