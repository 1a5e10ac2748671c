"""Properties of every reducer in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import pytest
import torch

from tests.clip.small import pixels, small_model, timm_visual
from tests.reducers.small import block, some_sizes
from tta_service.clip.image.tower import ImageTower, encode
from tta_service.clip.image.vit_adapters import take_apart
from tta_service.core.reducer import Reducer
from tta_service.reducers import catalogue
from tta_service.reducers.schedule import staged_count
from tta_service.testing import check_reducer

NAMES = catalogue.names()
REDUCING = [name for name in NAMES if name != "none"]
MERGING = ["tome", "turbo", "pitome"]
GUIDE = torch.randn(4, 24, generator=torch.Generator().manual_seed(5))


@cache
def tower(kind="class token") -> ImageTower:
    visuals = {
        "class token": lambda: small_model({"image_size": 48}).visual,
        "no class token": lambda: timm_visual(global_pool="map", class_token=False),
        "mean": lambda: timm_visual(global_pool="avg", class_token=False),
    }
    taken = take_apart(visuals[kind]().eval().requires_grad_(False))
    assert isinstance(taken, ImageTower)
    return taken


def reduce(reducer: Reducer, layer, layers, x, sizes, q, k, prefix):
    guide = torch.randn(4, x.shape[2], generator=torch.Generator().manual_seed(5)) if reducer.guided else None
    return reducer.reduce(layer, layers, x, sizes, q, k, prefix, guide)


@pytest.mark.parametrize("name", NAMES)
def test_every_reducer_conforms(name):
    check_reducer(name)


@pytest.mark.parametrize("name", REDUCING)
def test_has_the_common_field_and_says_what_it_is(name):
    assert fields(catalogue.get(name))[0].name == "keep"
    description = catalogue.describe(name)
    assert len(description.summary) > 30 and (name in ("random",) or "20" in description.paper)


@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("kind", ["class token", "no class token", "mean"])
@torch.no_grad()
def test_keeping_all_is_the_plain_forward_bit_by_bit(name, kind):
    taken = tower(kind)
    if catalogue.get(name).guide_in_tokens and taken.guide_to_tokens is None:
        pytest.skip("this tower's features are no projection of single tokens")
    image = pixels(2, 48 if kind == "class token" else 32)
    features = encode(taken, image, catalogue.build(name, {"keep": 1.0}), GUIDE)
    assert torch.equal(features, encode(taken, image))
    reduced = encode(taken, image, catalogue.build(name, {"keep": 0.5}), GUIDE)
    assert reduced.isfinite().all() and not torch.equal(reduced, features)


@pytest.mark.parametrize("name", ["tome", "turbo", "evit", "random", "text_guided"])
@pytest.mark.parametrize("keep", [0.9, 0.7, 0.5, 0.3])
@pytest.mark.parametrize("patches", [1, 2, 7, 49])
def test_reducers_in_stages_leave_equally_many_tokens(name, keep, patches):
    x, q, k = block(2, patches)
    for layer in range(12):
        after, sizes = reduce(catalogue.build(name, {"keep": keep}), layer, 12, x, None, q, k, 1)
        assert after.shape[1] == 1 + staged_count(patches, layer, 12, keep)
        assert sizes is None or sizes.shape == after.shape[:2]


@pytest.mark.parametrize("name", MERGING)
@pytest.mark.parametrize("keep", [0.7, 0.3])
@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_merging_loses_nothing(name, keep, prefix):
    x, q, k = block(prefix=prefix)
    sizes = some_sizes(*x.shape[:2])
    after, counts = reduce(catalogue.build(name, {"keep": keep}), 3, 12, x, sizes, q, k, prefix)
    assert after.shape[1] < x.shape[1]
    torch.testing.assert_close(counts.sum(1), sizes.sum(1))
    torch.testing.assert_close((after * counts[..., None]).sum(1), (x * sizes[..., None]).sum(1))


@pytest.mark.parametrize(("name", "parameters"), [("tome", {}), ("turbo", {"meaning": 0.0}), ("tome", {"r": 36})])
@torch.no_grad()
def test_where_every_patch_has_its_double_merging_changes_nothing(name, parameters):
    taken, reducer = tower(), catalogue.build(name, {"keep": 0.5, **parameters})

    def doubled(image, embed=taken.embed):
        x = embed(image)
        return torch.cat([x[:, :1], x[:, 1:].repeat_interleave(2, 1)], 1)

    @dataclass(frozen=True)
    class Once(Reducer):
        name = "once"

        def reduce(self, layer, layers, *rest):
            return reducer.reduce(3, 12, *rest) if layer == 0 else rest[:2]

    taken, image = replace(taken, embed=doubled), pixels(2, 48)
    torch.testing.assert_close(encode(taken, image, Once()), encode(taken, image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(name):
    reducer, taken, rows = catalogue.build(name, {}), tower(), pixels(5, 48)
    together = encode(taken, rows, reducer, GUIDE)
    alone = torch.cat([encode(taken, row[None], reducer, GUIDE) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
