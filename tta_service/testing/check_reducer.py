"""Conformance checks of a reducer: counts follow from shapes, rows are independent, the prefix stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core.catalogue import reducers
from ..core.reducer import Reducer
from .check_entry import check_bounds, check_registered, check_round_trip

ReducerClass = type[Reducer]
LAYERS, PREFIX, WIDTH, HEADS = 12, 1, 48, 4


def check_reducer(reducer: ReducerClass | str) -> None:
    """Run every check over a registered reducer, by class or name. Raises AssertionError with a sentence."""
    cls = reducers.get(reducer) if isinstance(reducer, str) else reducer
    for check in REDUCER_CHECKS:
        check(cls)


def is_in_the_catalogue(cls: ReducerClass) -> None:
    """It is registered and its module describes it."""
    check_registered(cls, reducers)


def numbers_are_bounded(cls: ReducerClass) -> None:
    """Every number has finite bounds that hold its default."""
    check_bounds(cls)


def parameters_survive_the_wire(cls: ReducerClass) -> None:
    """Parameters sent as doubles come back equal; bad ones raise `BadParameters`."""
    check_round_trip(cls, reducers)


def counts_follow_from_shapes(cls: ReducerClass) -> None:
    """Equal shapes give equal token counts, at least one patch stays, and all tokens are finite."""
    for patches in (1, 2, 7, 49):
        one, other = (_through(cls(), _tokens(2, patches, seed)) for seed in (0, 1))
        assert one[0].shape == other[0].shape, (
            f"{patches} patches became {tuple(one[0].shape)} or {tuple(other[0].shape)}:"
            " token counts must not depend on content"
        )
        assert one[0].shape[1] > PREFIX, f"of {patches} patches none was left"
        assert one[0].isfinite().all(), f"{patches} patches gave tokens that are not finite"


def prefix_tokens_stay(cls: ReducerClass) -> None:
    """0, 1 or 3 prefix tokens come back unchanged, at the front."""
    for prefix in (0, 1, 3):
        x = _tokens(2, 20, 0, prefix)
        after, _ = _layer(cls(), 0, x, None, prefix)
        assert torch.equal(after[:, :prefix], x[:, :prefix]), (
            f"the first {prefix} tokens must stay as they are, in front"
        )


def sizes_count_patches(cls: ReducerClass) -> None:
    """Sizes [b, n], if any, are positive and sum to no more than the tokens that came in."""
    x, sizes = _through(cls(), _tokens(2, 49, 0))
    if sizes is not None:
        assert sizes.shape == x.shape[:2], f"sizes are {tuple(sizes.shape)} for tokens {tuple(x.shape)}"
        assert float(sizes.min()) > 0, "a token of no patches"
        assert float(sizes.sum(1).max()) <= 49 + PREFIX + 1e-3, "sizes sum to more patches than came in"


def rows_ignore_each_other(cls: ReducerClass) -> None:
    """A row gives the same tokens alone and in a batch."""
    together = _tokens(3, 49, 0)
    all_rows, _ = _through(cls(), together)
    for row in range(3):
        alone, _ = _through(cls(), together[row : row + 1])
        assert torch.allclose(alone[0], all_rows[row], atol=1e-5), "a row's tokens depend on who shares its batch"


def inputs_stay_as_they_were(cls: ReducerClass) -> None:
    """The tokens are not changed in place, and a second call gives the same result."""
    x = _tokens(2, 20, 0)
    before = x.clone()
    first, second = _through(cls(), x)[0], _through(cls(), x)[0]
    assert torch.equal(x, before), "reduce changed its input in place"
    assert torch.equal(first, second), "the same tokens were reduced differently the second time"


def precision_stays(cls: ReducerClass) -> None:
    """bfloat16 tokens come back as bfloat16."""
    x, _ = _through(cls(), _tokens(2, 20, 0).bfloat16())
    assert x.dtype is torch.bfloat16, f"bfloat16 tokens came back as {x.dtype}"


REDUCER_CHECKS: tuple[Callable[[ReducerClass], None], ...] = (
    is_in_the_catalogue,
    numbers_are_bounded,
    parameters_survive_the_wire,
    counts_follow_from_shapes,
    prefix_tokens_stay,
    sizes_count_patches,
    rows_ignore_each_other,
    inputs_stay_as_they_were,
    precision_stays,
)


def _tokens(rows: int, patches: int, seed: int, prefix: int = PREFIX) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, prefix + patches, WIDTH, generator=draw)


def _layer(reducer: Reducer, layer: int, x: Tensor, sizes: Tensor | None, prefix: int) -> tuple[Tensor, Any]:
    heads = x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)  # [b, h, n, e]
    guide = torch.eye(5, WIDTH, dtype=x.dtype) if reducer.guided else None
    with torch.inference_mode():
        return reducer.reduce(layer, LAYERS, x, sizes, heads, heads.flip(1), prefix, guide)


def _through(reducer: Reducer, x: Tensor) -> tuple[Tensor, Tensor | None]:
    sizes: Tensor | None = None
    for layer in range(LAYERS):
        x, sizes = _layer(reducer, layer, x, sizes, PREFIX)
    return x, sizes
