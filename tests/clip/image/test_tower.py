from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from tests.clip.reducers import Drop, MergePairs
from tests.clip.small import alike_threads, pixels, small_model, timm_visual
from tta_service.clip.image.tower import ImageTower, encode
from tta_service.clip.image.vit_adapters import take_apart
from tta_service.core.reducer import Reducer

OPEN_CLIP = {
    "plain": {},
    "quick": {"quick_gelu": True},
    "mean pool": {"vision": {"pool_type": "avg"}},
    "mean pool, norm behind it": {"vision": {"pool_type": "avg", "final_ln_after_pool": True}},
    "norm behind the pool": {"vision": {"final_ln_after_pool": True}},
    "layer scale": {"vision": {"ls_init_value": 0.3}},
    "no first norm": {"vision": {"no_ln_pre": True}},
}
TIMM = {
    "token": {"global_pool": "token"},
    "attention pool without class token": {"global_pool": "map", "class_token": False},
    "mean": {"global_pool": "avg"},
    "mean with the class token": {"global_pool": "avg", "pool_include_prefix": True},
    "registers": {"global_pool": "token", "reg_tokens": 3, "no_embed_class": True},
    "normalised queries and keys": {"global_pool": "token", "qk_norm": True, "init_values": 0.2},
}
SMALL = [*OPEN_CLIP, *TIMM]


@cache
def visual_of(name):
    return small_model(**OPEN_CLIP[name]).visual.eval() if name in OPEN_CLIP else timm_visual(**TIMM[name])


def tower_of(name) -> ImageTower:
    tower = take_apart(visual_of(name).requires_grad_(False))
    assert isinstance(tower, ImageTower)
    return tower


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_is_the_towers_own_forward(name):
    visual = visual_of(name)
    tower = take_apart(visual)
    assert isinstance(tower, ImageTower)
    torch.testing.assert_close(encode(tower, pixels()), visual(pixels()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-B-16-SigLIP", "MobileCLIP-B"])
@torch.no_grad()
def test_is_the_named_towers_own_forward(name):
    known = open_clip.get_model_config(name)
    known["text_cfg"] = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 1, "layers": 1}
    with torch.device("meta"):  # the usual start values of 300 million weights take longer than the test
        visual = open_clip.CustomTextCLIP(known["embed_dim"], known["vision_cfg"], known["text_cfg"]).visual
    visual = visual.to_empty(device="cpu").eval()
    noise = torch.empty(1_000_003).uniform_(-0.05, 0.05)
    for key, value in visual.state_dict().items():
        if value.is_floating_point():
            value.copy_(noise.repeat(value.numel() // len(noise) + 1)[: value.numel()].view_as(value))
            value += 1.0 if value.ndim == 1 and key.endswith(("running_var", "weight")) else 0.0  # norms
    tower = take_apart(visual)
    assert isinstance(tower, ImageTower)
    image = pixels(1, 224)
    torch.testing.assert_close(
        normalize(encode(tower, image), dim=-1), normalize(visual(image), dim=-1), rtol=0, atol=1e-5
    )


@dataclass(frozen=True)
class Watch(Reducer):
    """Changes nothing and records its arguments."""

    name = "watch"
    seen: list = field(default_factory=list, compare=False)

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        self.seen.append((layer, layers, tuple(x.shape), q.shape[2], k.shape[2], prefix, sizes, guide))
        return x, sizes


@pytest.mark.parametrize(("name", "tokens", "prefix"), [("plain", 17, 1), ("registers", 20, 4), (SMALL[8], 16, 0)])
@torch.no_grad()
def test_a_reducer_sees_every_block_but_the_last(name, tokens, prefix):
    watch, guide = Watch(), torch.randn(2, 24)
    tower = tower_of(name)
    features = encode(tower, pixels(), watch, guide)
    expected = [(layer, 4, (3, tokens, 32), tokens, tokens, prefix, None, guide) for layer in range(3)]
    assert all(
        a is b or a == b
        for mine, seen in zip(expected, watch.seen, strict=True)
        for a, b in zip(mine, seen, strict=True)
    )
    assert torch.equal(features, encode(tower, pixels()))


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_dropped_tokens_are_gone(name):
    tower = tower_of(name)
    watch = Watch()

    @dataclass(frozen=True)
    class DropAndWatch(Drop):
        def reduce(self, *arguments):
            watch.reduce(*arguments)
            return super().reduce(*arguments)

    features = encode(tower, pixels(), DropAndWatch(at=1, count=5))
    full = watch.seen[0][2][1]
    assert [seen[2][1] for seen in watch.seen] == [full, full, full - 5]
    assert not torch.allclose(features, encode(tower, pixels()), atol=1e-3)
    assert torch.equal(features, encode(tower, pixels(), Drop(at=1, count=5)))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("at", [0, 2])
@torch.no_grad()
def test_merging_exact_duplicates_changes_nothing(name, at):
    tower = tower_of(name)
    prefix = tower.prefix

    def twins(pixels, embed=tower.embed):  # every patch beside its copy
        x = embed(pixels)
        return torch.cat([x[:, :prefix], x[:, prefix:].repeat_interleave(2, 1)], 1)

    tower = replace(tower, embed=twins)
    merged = encode(tower, pixels(), MergePairs(at))
    torch.testing.assert_close(merged, encode(tower, pixels()), rtol=0, atol=2e-6)


@pytest.mark.parametrize("reducer", [None, Drop(), MergePairs()], ids=str)
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(reducer):
    tower, rows = tower_of("plain"), pixels(9)
    together = encode(tower, rows, reducer)
    alone = torch.cat([encode(tower, row[None], reducer) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    order = torch.randperm(9)
    torch.testing.assert_close(encode(tower, rows[order], reducer), together[order], rtol=0, atol=1e-5)


def test_threads_with_several_reducers_share_one_tower():
    tower, rows = tower_of("plain"), pixels(8)

    @torch.no_grad()
    def run(reducer):
        return encode(tower, rows, reducer)

    reducers = [None, Drop(0, 4), Drop(2, 8), MergePairs(1)] * 10
    with alike_threads(1) as alone:
        expected = {reducer: alone.submit(run, reducer).result() for reducer in set(reducers)}
    with alike_threads(4) as pool:
        for reducer, features in zip(reducers, pool.map(run, reducers), strict=True):
            assert torch.equal(features, expected[reducer])


def test_the_class_token_alone_leaves_the_last_block():
    assert tower_of("plain").class_only and tower_of("token").class_only
    assert not tower_of("mean").class_only and not tower_of("mean pool").class_only


@pytest.mark.parametrize(
    ("visual", "reason"),
    [
        (lambda: small_model({"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}).visual, "ModifiedResNet is not"),
        (lambda: small_model({"attentional_pool": True, "attn_pooler_heads": 2}).visual, "attention over the whole"),
        (lambda: small_model({"qk_norm": True}).visual, "not the standard"),
        (lambda: timm_visual(global_pool="max"), "'max'"),
        (lambda: torch.nn.Linear(1, 1), "Linear is not"),
    ],
)
def test_other_towers_give_a_reason(visual, reason):
    assert reason in take_apart(visual())


@pytest.mark.parametrize(
    "name", ["plain", "mean pool", "norm behind the pool", "token", "mean", "registers", "normalised queries and keys"]
)
@torch.no_grad()
def test_guides_in_token_space_score_tokens_as_texts_score_features(name):
    visual, texts = visual_of(name), torch.randn(5, 24)
    tower = take_apart(visual)
    assert isinstance(tower, ImageTower) and tower.guide_to_tokens is not None
    token = torch.randn(1, 1, 32)
    tokens = token if tower.class_only else token.expand(1, tower.prefix + 3, 32)
    scores = torch.nn.functional.layer_norm(token[0], (32,)) @ tower.guide_to_tokens(texts).T
    offset = tower.pool(tokens * 0, None) @ texts.T  # what the norm's and the head's biases add to every token
    torch.testing.assert_close(scores + offset, tower.pool(tokens, None) @ texts.T, rtol=1e-4, atol=1e-4)


def test_a_latent_query_has_no_guide_in_token_space():
    assert tower_of("attention pool without class token").guide_to_tokens is None
