"""The image tower as graphs of a compiler or another runtime, one for each reducer named at start.

A graph may accept only certain numbers of rows, so rows run in buckets of these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from ...core.errors import Unsupported
from ...core.reducer import Reducer
from .. import CannotLoad
from .encoder import FIELD, EagerEncoder

Run = Callable[[Tensor], Tensor]  # pixels [b, 3, s, s] -> features [b, d]
Start = Callable[[Run, Tensor, str], Run]  # takes a forward, a blank image [1, 3, s, s] and the precision
SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows of one run, the largest first
LARGE = (256, 128)  # on a GPU, because 64 rows of a small tower do not occupy it


def load_runtime(runtime: str, precision: str) -> Start:
    """The `start` function of a runtime. `CannotLoad` when it is not installed or lacks the precision."""
    try:
        module = importlib.import_module(f"..runtimes.{runtime}", __package__)
    except ImportError as error:
        raise CannotLoad(f"{runtime} needs `pip install '.[runtime]'` in a checkout: {error}", "runtime") from None
    if precision not in module.PRECISIONS:
        raise CannotLoad(f"{runtime} computes in {' or '.join(module.PRECISIONS)}, not in {precision}", "precision")
    return module.start


class CompiledEncoder:
    """An `ImageEncoder` that runs compiled graphs on buckets of rows.

    Raises `CannotLoad` for a reducer whose graph has no fixed shapes.
    """

    def __init__(
        self,
        eager: EagerEncoder,
        runtime: str,
        start: Start,
        precision: str,
        reducers: Iterable[Reducer] = (),
        sizes: Sequence[int] = SIZES,
    ) -> None:
        self._runtime, self.reducible, self._sizes = runtime, eager.reducible, sizes
        self._runs: dict[Reducer | None, Run] = {}
        self._left: dict[Reducer | None, tuple[int, ...]] = {}
        for reducer in dict.fromkeys((None, *map(_or_none, reducers))):
            if reducer is not None:
                eager.check(reducer)
                if reducer.guided:
                    why = f"looks at the label set, which {runtime} would have to know at start"
                    raise CannotLoad(f"{reducer.name} {why}", "reducers")
            self._left[reducer] = eager.tokens_left(reducer)
            try:
                run = start(lambda pixels, reducer=reducer: eager(pixels, reducer), eager.blank, precision)
            except CannotLoad:
                raise
            except Exception as error:  # exporters raise many types
                why = " ".join(str(error).split())[:300]
                raise CannotLoad(
                    f"{runtime} cannot take over the reducer {_describe(reducer)}: {why}", "reducers"
                ) from error
            self._runs[reducer] = run

    def check(self, reducer: Reducer) -> None:
        """Raises `Unsupported` for a reducer that was not named at start."""
        if _or_none(reducer) not in self._runs:
            listed = ", ".join(map(_describe, self._runs))
            why = f"the runtime {self._runtime} serves the reducers named at start ({listed}), not {_describe(reducer)}"
            raise Unsupported(why, FIELD)

    def tokens_left(self, reducer: Reducer) -> tuple[int, ...]:
        """Patch tokens of a view after each block; empty for a tower run whole."""
        return self._left.get(_or_none(reducer), ())

    def map_tokens(self, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None) -> None:
        """Another runtime gives features alone."""

    def __call__(self, pixels: Tensor, reducer: Reducer | None = None, guide: Tensor | None = None) -> Tensor:
        if reducer is not None:
            self.check(reducer)
        return run_in_buckets(self._runs[_or_none(reducer)], pixels, self._sizes)


def _or_none(reducer: Reducer | None) -> Reducer | None:
    return None if reducer is None or reducer.name == "none" else reducer


def _describe(reducer: Reducer | None) -> str:
    """The reducer as it is written in the settings."""
    if reducer is None:
        return "none"
    given = fields(reducer) if is_dataclass(reducer) else ()
    return ":".join([reducer.name, *(f"{field.name}={getattr(reducer, field.name)}" for field in given)])


def sizes_on(device: torch.device) -> tuple[int, ...]:
    """The numbers of rows of a run on that device, the largest first."""
    return SIZES if device.type == "cpu" else LARGE + SIZES


def run_in_buckets(run: Run, x: Tensor, sizes: Sequence[int] = SIZES) -> Tensor:
    """`run` over the rows of x [b, ...], in runs of `sizes` (which include 1); a partial run is padded with zeros."""
    parts: list[Tensor] = []
    for taken, size in plan(len(x), sizes):
        rows, x = x[:taken], x[taken:]
        if taken < size:
            rows = torch.cat([rows, rows.new_zeros(size - taken, *rows.shape[1:])])
        parts.append(run(rows)[:taken])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def plan(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(rows taken, rows run) for each run: the largest that would be at least three quarters full."""
    for size in sizes:
        while 4 * rows >= 3 * size:
            taken = min(rows, size)
            yield taken, size
            rows -= taken
