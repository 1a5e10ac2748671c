"""The command `size`: how many servers some cameras need, by what this machine takes for a frame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import BadImage, BadParameters, BadRequest, TTAError
from .options import AsJson, Configure, build, configure_command, reducers, strategies
from .text import json_line

if TYPE_CHECKING:
    from ..app.sizing.plan import Demand, Plan
    from ..app.sizing.rates import Rates


@configure_command
def size(
    configure: Configure,
    cameras: Annotated[int, typer.Option(min=1, max=100_000, help="How many there are.")] = 40,
    fps: Annotated[float, typer.Option(min=0.001, max=240, help="Frames a second of each.")] = 1.0,
    strategy: Annotated[str, typer.Option(help="That answers them.")] = "zero_shot",
    views: Annotated[int | None, typer.Option(min=1, max=512, help="Its views of each frame.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of it.")] = None,
    reducer: Annotated[str, typer.Option(help="Token reduction of all frames.")] = "none",
    edge: Annotated[bool, typer.Option("--edge", help="Cameras encode, and send features.")] = False,
    classes: Annotated[int, typer.Option(min=2, max=100_000, help="Number of labels.")] = 10,
    picture: Annotated[Path | None, typer.Option(help="A frame of yours, by default 640 x 480.")] = None,
    age: Annotated[float, typer.Option(min=0.001, max=3600, help="Seconds for 95 % of the answers.")] = 0.5,
    cores: Annotated[int, typer.Option(min=0, max=1024, help="Of a server; 0: as many as this one uses.")] = 0,
    spare: Annotated[int, typer.Option(min=0, max=64, help="Servers that may be away.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="For each measurement.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Measure what a frame takes here, and say how many servers, how much memory, network and Redis the cameras need.

    And what would make it less: fewer views, early stopping, int8, token reduction, cameras that encode.
    """
    parameters = _check(strategy, param or [], views)
    _check_reducer(reducer, edge)
    file = _read(picture) if picture else None
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it tells of every process that is started
    from joblib import cpu_count  # pyright: ignore[reportMissingTypeStubs]

    from ..app.sizing.rates import OWN, Frames

    settings = configure({**OWN, "limits.names": max(2000, classes), "limits.views": 512})
    from ..app.commands import run_in_loop
    from ..app.sizing.plan import Demand, make_plan
    from ..app.sizing.rates import measure_rates
    from ..images.files import ImageLimits

    frames = Frames(strategy, parameters, reducer, classes, file, edge)
    try:
        if file is not None:  # too long for a message, no service would see it
            ImageLimits(settings.limits.image_bytes).check_bytes(len(file))
        rates = run_in_loop(measure_rates(settings, frames, seconds))
    except BadImage as error:
        raise BadImage(f"--picture: {error.message}", "picture") from None
    demand = Demand(cameras, fps, age, spare, cores or settings.lanes.cores or int(cpu_count()))
    asked = make_plan(demand, rates[""], settings.sessions)
    plans: dict[str, tuple[Rates, Plan]] = {}
    for option, cheaper in rates.items():
        if option and cheaper.work < rates[""].work:
            plans[option] = cheaper, make_plan(demand, cheaper, settings.sessions)
    if as_json:
        less = {option: {"rates": asdict(one), "plan": asdict(plan)} for option, (one, plan) in plans.items()}
        print(json_line({"rates": asdict(rates[""]), "plan": asdict(asked), "less": less}))
    else:
        print("\n".join(_describe(demand, rates[""], asked, plans)))


def _read(picture: Path) -> bytes:
    """Raises `BadRequest`."""
    try:
        return picture.read_bytes()
    except OSError as error:
        raise BadRequest(f"--picture: cannot read {picture}: {error.strerror}", "picture") from None


def _check(strategy: str, given: list[str], views: int | None) -> dict[str, Any]:
    """The parameters. Raises `BadRequest` and others with the option in front."""
    try:
        strategies.get(strategy)
    except TTAError as error:
        raise BadRequest(f"--strategy: {error.message}", "strategy") from None
    words = [*given, *([f"views={views}"] if views else [])]
    try:
        built = build(strategies, strategy, words)
    except BadParameters as error:
        of_views = views is not None and "views" in str(error) and not any(one.startswith("views") for one in given)
        raise BadRequest(f"{'--views' if of_views else '--param'}: {error.message}", error.field) from None
    return {name: getattr(built, name) for name in (word.partition("=")[0].strip() for word in words)}


def _check_reducer(reducer: str, edge: bool) -> None:
    """Raises `BadRequest`."""
    try:
        reducers.build(reducer)
    except TTAError as error:
        raise BadRequest(f"--reducer: {error.message}", "reducer") from None
    if edge and reducer != "none":
        raise BadRequest("--reducer: features made on the device (--edge) have no tokens left to reduce", "reducer")


def _describe(demand: Demand, rates: Rates, plan: Plan, less: Mapping[str, tuple[Rates, Plan]]) -> list[str]:
    needed = f"{plan.servers - demand.spare} and {demand.spare} to spare" if demand.spare else "none to spare"
    lines = [
        f"{demand.cameras} cameras, {demand.cameras * demand.fps:g} frames a second, {1000 * rates.work:.2f} ms of a "
        f"core each: {plan.servers} servers of {plan.cores} cores ({needed}), {plan.busy:.0%} busy",
        f"memory of each     {plan.memory_bytes / 1e6:.0f} MB",
        f"network of all     {_rate(plan.received)} in, {_rate(plan.sent)} out",
        f"Redis              {plan.store_writes:.1f} writes a second, {_rate(plan.store_received)}, "
        f"{plan.store_bytes / 1e6:.1f} MB",
    ]
    for name, ages in plan.ages.items():
        lost = f", {ages.lost:.2%} of the frames lost" if ages.lost else ""
        lines.append(f"{name:25}  half of the answers within {ages.half:.3f} s, 95 % within {ages.most:.3f} s{lost}")
    for option, (cheaper, other) in sorted(less.items(), key=lambda one: one[1][0].work):
        lines.append(f"with {option:20}  {1000 * cheaper.work:.2f} ms of a core: {other.servers} servers")
    return lines


def _rate(bytes_a_second: float) -> str:
    return f"{bytes_a_second / 1e6:.2f} MB/s"
