"""Each method against its formulas, token by token in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.reducers.small import WIDTH, block, some_sizes
from tta_service.reducers.evit import EViT
from tta_service.reducers.pitome import PiToMe
from tta_service.reducers.random import RandomDrop
from tta_service.reducers.schedule import rate
from tta_service.reducers.text_guided import TextGuided
from tta_service.reducers.tome import ToMe
from tta_service.reducers.turbo import Turbo

PREFIX = 1


def keys_by_hand(k):
    mean = k[:, PREFIX:].double().numpy().mean(0)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def attention_by_hand(q, k, sizes=None):
    q, k = q.double().numpy(), k.double().numpy()
    logits = np.einsum("he,hne->hn", q[:, 0], k) / np.sqrt(q.shape[-1])
    logits = logits + (0 if sizes is None else np.log(sizes))
    each = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return each.mean(0)[PREFIX:]


def merged_by_hand(x, sizes, pairs, order):
    """Patches after merging source -> target; `order`: the patches that stay."""
    x, sizes = x.double().numpy()[PREFIX:], sizes[PREFIX:].double().numpy()
    total, weighted = sizes.copy(), x * sizes[:, None]
    for source, target in pairs:
        total[target] += sizes[source]
        weighted[target] += x[source] * sizes[source]
    return (weighted / total[:, None])[order], total[order]


def same_set(tokens, expected):
    """Equal up to the order of tokens."""
    by_first = lambda rows: rows[np.lexsort(rows.T[::-1])]  # noqa: E731
    np.testing.assert_allclose(by_first(tokens.double().numpy()), by_first(expected), atol=1e-5)


def bipartite_by_hand(x, sizes, k, count, protected=None):
    keys = keys_by_hand(k)
    similar = {a: {b: keys[a] @ keys[b] for b in range(1, len(keys), 2)} for a in range(0, len(keys), 2)}
    nearest = {a: max(row, key=row.get) for a, row in similar.items()}
    score = {a: similar[a][nearest[a]] - (0 if protected is None else protected[a]) for a in similar}
    sources = sorted(score, key=score.get, reverse=True)[:count]
    stay = [a for a in similar if a not in sources] + list(range(1, len(keys), 2))
    return merged_by_hand(x, sizes, [(a, nearest[a]) for a in sources], stay)


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize(("reducer", "count"), [(ToMe(keep=0.7), 3), (ToMe(r=5), 5)])
def test_tome_equals_the_formula(sized, reducer, count):
    x, q, k = block()
    sizes = some_sizes(*x.shape[:2]) if sized else None
    after, counts = reducer.reduce(6, 12, x, sizes, q, k, PREFIX, None)
    for row in range(len(x)):
        tokens, total = bipartite_by_hand(x[row], torch.ones(14) if sizes is None else sizes[row], k[row], count)
        np.testing.assert_allclose(after[row, PREFIX:].numpy(), tokens, atol=1e-5)
        np.testing.assert_allclose(counts[row, PREFIX:].numpy(), total)


@pytest.mark.parametrize("meaning", [0.26, 3.0])
def test_turbo_equals_the_formula(meaning):
    x, q, k = block()
    sizes = some_sizes(*x.shape[:2])
    after, counts = Turbo(keep=0.7, meaning=meaning).reduce(6, 12, x, sizes, q, k, PREFIX, None)
    for row in range(len(x)):
        protected = meaning * 13 * attention_by_hand(q[row], k[row], sizes[row].double().numpy())
        tokens, total = bipartite_by_hand(x[row], sizes[row], k[row], 3, protected)
        np.testing.assert_allclose(after[row, PREFIX:].numpy(), tokens, atol=1e-5)
        np.testing.assert_allclose(counts[row, PREFIX:].numpy(), total)


def test_turbo_without_meaning_or_class_token_is_tome():
    x, q, k = block()
    for a, b, prefix in ((Turbo(meaning=0.0), ToMe(), 1), (Turbo(meaning=9.0), ToMe(), 0)):
        mine, theirs = (some.reduce(3, 12, x, None, q, k, prefix, None) for some in (a, b))
        assert all(torch.equal(i, j) for i, j in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("fuse", ["mean", "sum", "drop"])
def test_evit_equals_the_formula(fuse):
    x, q, k = block()
    after, sizes = EViT(keep=0.6, fuse=fuse).reduce(9, 12, x, None, q, k, PREFIX, None)
    assert sizes is None and after.shape[1] == 1 + 8
    for row in range(len(x)):
        attention = attention_by_hand(q[row], k[row])
        order = np.argsort(-attention)
        kept, rest = (order[:8], order[8:]) if fuse == "drop" else (order[:7], order[7:])
        patches = x[row, PREFIX:].double().numpy()
        expected = [patches[i] for i in sorted(kept)]
        if fuse != "drop":
            extra = sum(attention[i] * patches[i] for i in rest)
            expected.append(extra / attention[rest].sum() if fuse == "mean" else extra)
        np.testing.assert_allclose(after[row, PREFIX:].numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("layer", [0, 7])
def test_pitome_equals_the_formula(layer):
    x, q, k = block(patches=21)
    sizes = some_sizes(*x.shape[:2])
    after, counts = PiToMe(keep=0.4).reduce(layer, 12, x, sizes, q, k, PREFIX, None)
    merged = 21 - round(21 * rate(0.4, 12))
    assert merged >= 2 and after.shape[1] == 22 - merged
    margin = 0.95 * (1 - layer / 12)
    for row in range(len(x)):
        keys = keys_by_hand(k[row])
        over = keys @ keys.T - margin
        energy = np.where(over > 0, over, np.exp(over) - 1).mean(1)
        crowd = np.argsort(-energy, kind="stable")[: 2 * merged]
        sources, others = crowd[0::2], crowd[1::2]
        pairs = [(a, max(others, key=lambda b, a=a, keys=keys: keys[a] @ keys[b])) for a in sources]
        tokens, total = merged_by_hand(x[row], sizes[row], pairs, [i for i in range(21) if i not in sources])
        same_set(torch.cat([after[row, PREFIX:], counts[row, PREFIX:, None]], 1), np.c_[tokens, total])


def test_random_is_one_pattern_for_all_rows():
    x, q, k = block()
    once, other_seed = (RandomDrop(seed=seed).reduce(3, 12, x, None, q, k, PREFIX, None)[0] for seed in (0, 1))
    assert once.shape[1] == 1 + 10 and not torch.equal(once, other_seed)
    kept = [next(i for i in range(14) if torch.equal(token, x[0, i])) for token in once[0]]
    assert kept == sorted(kept) and kept[0] == 0
    assert torch.equal(once, x[:, kept])
    assert not torch.equal(RandomDrop().reduce(6, 12, x, None, q, k, PREFIX, None)[0], once)
    sizes = some_sizes(*x.shape[:2])
    assert torch.equal(RandomDrop().reduce(3, 12, x, sizes, q, k, PREFIX, None)[1], sizes[:, kept])


def test_text_guided_prunes_patches_that_match_no_label():
    x, q, k = block()
    guide = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(3))
    sizes = some_sizes(*x.shape[:2])
    after, counts = TextGuided(keep=0.6).reduce(6, 12, x, sizes, q, k, PREFIX, guide)
    centred = guide.double().numpy() - guide.double().numpy().mean(0)
    for row in range(len(x)):
        patches = x[row, PREFIX:].double().numpy()
        normal = (patches - patches.mean(1, keepdims=True)) / np.sqrt(patches.var(1, keepdims=True) + 1e-5)
        kept = sorted(np.argsort(-(normal @ centred.T).max(1))[:8])
        assert torch.equal(after[row], x[row, [0, *(1 + i for i in kept)]])
        assert torch.equal(counts[row], sizes[row, [0, *(1 + i for i in kept)]])
    merging = TextGuided(keep=0.6).reduce(3, 12, x, sizes, q, k, PREFIX, guide)
    assert all(torch.equal(a, b) for a, b in zip(merging, ToMe(keep=0.6).reduce(3, 12, x, sizes, q, k, PREFIX, None)))


def test_text_guided_needs_a_guide():
    x, q, k = block()
    with pytest.raises(ValueError, match="guide"):
        TextGuided().reduce(6, 12, x, None, q, k, PREFIX, None)


def test_several_rounds_where_more_than_half_must_go():
    x, q, k = block(patches=16)
    after, counts = ToMe(keep=0.1).reduce(3, 12, x, None, q, k, PREFIX, None)
    assert after.shape[1] == 1 + 2
    torch.testing.assert_close(counts[:, 1:].sum(1), torch.full((3,), 16.0))
