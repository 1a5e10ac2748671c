"""Which patches are one token after a reducer, and how much attention each gets."""

from __future__ import annotations

import pytest
import torch

from tests.clip.image.test_tower import SMALL, tower_of, visual_of
from tests.clip.reducers import Drop, MergePairs
from tests.clip.small import pixels
from tta_service.clip.image.encoder import EagerEncoder
from tta_service.clip.image.token_map import map_tokens
from tta_service.core.catalogue import reducers

ONE = pixels()[:1]
PATCHES = 16


@pytest.mark.parametrize("name", SMALL)
def test_attention_is_shared_among_the_patches_of_every_tower(name):
    found = map_tokens(tower_of(name), ONE)
    assert found and found.side == 4
    assert found.tokens.tolist() == list(range(PATCHES))
    assert found.attention.sum() == pytest.approx(1, abs=1e-5) and found.attention.min() > 0


@torch.no_grad()
def test_the_attention_is_that_of_the_class_token_in_the_last_block():
    visual, seen = visual_of("plain"), []
    last = visual.transformer.resblocks[-1]
    hook = last.ln_1.register_forward_hook(lambda *call: seen.append(call[2]))
    visual(ONE)
    hook.remove()
    _, weights = last.attn(seen[0], seen[0], seen[0], need_weights=True)  # [1, n, n], averaged over heads
    expected = weights[0, 0, 1:] / weights[0, 0, 1:].sum()
    found = map_tokens(tower_of("plain"), ONE)
    assert found
    torch.testing.assert_close(found.attention, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "mean pool", "registers", "attention pool without class token"])
def test_dropped_patches_have_no_token_and_merged_ones_share_theirs(name):
    tower = tower_of(name)
    dropped = map_tokens(tower, ONE, Drop(at=1, count=4))
    assert dropped and dropped.tokens.tolist() == [*range(12), *[-1] * 4]
    assert dropped.attention[12:].tolist() == [0] * 4 and dropped.attention.sum() == pytest.approx(1, abs=1e-5)
    merged = map_tokens(tower, ONE, MergePairs(at=0))
    assert merged and merged.tokens.tolist() == [i // 2 for i in range(PATCHES)]
    assert torch.equal(merged.attention[0::2], merged.attention[1::2])


@pytest.mark.parametrize("name", [name for name in reducers.names() if name != "none"])
def test_every_reducer_leaves_as_many_tokens_as_it_says(name):
    tower, reducer = tower_of("plain"), reducers.build(name)
    encoder = EagerEncoder(tower, lambda x: x, ONE, 24)
    guide = torch.nn.functional.normalize(torch.randn(3, 24, generator=torch.Generator().manual_seed(0)), dim=-1)
    found = encoder.map_tokens(ONE, reducer, guide)
    assert found
    tokens = set(found.tokens.tolist()) - {-1}
    assert tokens == set(range(encoder.tokens_left(reducer)[-1])) and len(tokens) < PATCHES


def test_a_tower_run_whole_does_not_tell():
    assert (
        EagerEncoder("its blocks are not the standard ones", lambda x: x, ONE, 24).map_tokens(ONE, None, None) is None
    )
