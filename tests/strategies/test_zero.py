from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.maths import unit
from tta_service.strategies.zero import Zero

from .streams import Margin, answers, derive_answers, entropy, rounding_error, softmax, space, stream


def derivation(fraction, compat=False):
    """Votes by hand, one view after the other."""

    def run(frames, text, scale, margin):
        for views in frames:
            z = scale * views @ text.T
            h = entropy(softmax(z))
            order = np.argsort(h, kind="stable")
            margin.surest(h, k := max(1, int(len(h) * fraction)))
            votes = np.zeros(len(text))
            for i in order[:k]:
                if compat:
                    votes += softmax(z[i] / scale * 2**23)
                else:
                    votes[margin.argmax(z[i])] += 1
            tied = np.flatnonzero(votes == votes.max())
            if len(tied) > 1:
                votes[break_tie(z, h, order[:k], order[k:], tied, margin, compat)] += 1
            with np.errstate(divide="ignore"):
                yield np.log(votes)

    return run


def break_tie(z, h, kept, discarded, tied, margin, compat):
    """The class with one more vote, by the rules of the published algorithm, step 4."""
    tops = [margin.argmax(z[i]) for i in discarded]
    willing = [(h[i], top) for i, top in zip(discarded, tops, strict=True) if top in tied]
    if willing:
        for other, top in willing[1:]:
            if top != willing[0][1]:
                margin.less(willing[0][0], other)
        return willing[0][1]
    if compat and len(discarded):
        left = z[discarded[0]].copy()
        left[len(left) - 1 - tied] = -np.inf
        return int(left.argmax())
    return tied[margin.argmax(softmax(z[kept]).sum(0)[tied])]


@pytest.mark.parametrize(
    "classes, rows, keep", [(7, 16, 0.3), (40, 12, 0.5), (2, 8, 0.5), (7, 1, 0.3), (1, 5, 0.3), (1000, 64, 0.3)]
)
def test_equals_the_formula(classes, rows, keep):
    frames, expected = derive_answers(derivation(keep), space(classes), rows, 200)
    got = answers(Zero(keep=keep), frames)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    if classes > 2 and rows > 1:
        ties = np.exp(expected).sum(1) > max(1, int(rows * keep)) + 0.5
        assert ties.any(), "a stream without a tie proves little"


def test_one_kept_view_is_the_surest_views_top():
    frames, _ = derive_answers(derivation(0.01), space(9), 6, 20)
    for seen in frames:
        logits, _ = Zero(keep=0.01).adapt(seen, None)
        z = seen.logits().double().numpy()
        assert int(logits.argmax()) == z[entropy(softmax(z)).argmin()].argmax()
        assert float(logits.exp().sum()) == 1 and int(logits.isneginf().sum()) == 8


def axes(*rows: dict[int, float], classes: int = 6) -> Evidence:
    """Views given by their cosines to text features that are the axes; the rest of their length lies beside them."""
    text = TextSpace.of(torch.eye(classes, classes + 1))
    views = torch.zeros(len(rows), classes + 1)
    for view, cosines in zip(views, rows):
        for label, cosine in cosines.items():
            view[label] = cosine
        view[-1] = (1 - view.square().sum()).sqrt()
    return Evidence(unit(views), text)


# surest first: two votes for 2, two for 5; what is discarded votes for 0
TIED = axes({2: 0.9}, {5: 0.8}, {2: 0.7}, {5: 0.6, 2: 0.55}, {0: 0.30, 2: 0.28, 5: 0.285}, {0: 0.2, 1: 0.199, 3: 0.198})


def test_a_tie_that_no_discarded_view_breaks_goes_to_the_larger_sum():
    # Σp over the kept views: class 2 gets nearly all of two views and a little of the fourth
    assert Zero(keep=0.7).adapt(TIED, None)[0].exp().round().tolist() == [0, 0, 3, 0, 0, 2]


def test_compat_masks_the_classes_counted_from_the_end():
    # positions 5-2=3 and 5-5=0 of the first discarded view are struck out: what is left peaks at 5
    assert Zero(keep=0.7, compat=True).adapt(TIED, None)[0].exp().round().tolist() == [0, 0, 2, 0, 0, 3]


def test_compat_may_give_its_vote_to_a_class_that_is_not_tied():
    seen = axes({2: 0.9}, {5: 0.8}, {1: 0.5, 0: 0.49})
    votes = Zero(keep=0.7, compat=True).adapt(seen, None)[0].exp().round()
    assert votes.tolist() == [0, 1, 1, 0, 0, 1] and int(votes.argmax()) == 1


def test_the_surest_discarded_view_that_votes_for_a_tied_class_decides():
    seen = axes({2: 0.9}, {5: 0.8}, {1: 0.5}, {5: 0.4}, {2: 0.3})
    for compat in (False, True):
        assert Zero(keep=0.4, compat=compat).adapt(seen, None)[0].exp().round().tolist() == [0, 0, 1, 0, 0, 2]


def test_nothing_discarded_falls_back_to_the_sum():
    for compat in (False, True):
        votes = Zero(keep=1.0, compat=compat).adapt(axes({2: 0.9}, {5: 0.06, 1: 0.05}), None)[0].exp().round()
        assert votes.tolist() == [0, 0, 2, 0, 0, 1]


@pytest.mark.parametrize(
    "classes, rows, keep", [(7, 16, 0.3), (30, 40, 0.3), (1, 5, 0.3), (2, 8, 1.0), (1000, 16, 0.5)]
)
def test_compat_equals_the_published_arithmetic(classes, rows, keep):
    """On a coarse grid float32 cosines are exact, so that a vote at machine epsilon splits where, and only where, it
    does in float64; there are many such ties."""
    text = space(classes)
    coarse = TextSpace(text.labels, (text.features * 8).round() / 8)
    frames = [Evidence((seen.views * 8).round() / 8, coarse) for seen in stream(text, rows, 200, 0)]
    plain = [seen.views.double().numpy() for seen in frames]
    t = coarse.features.double().numpy()
    expected = np.exp(np.stack(list(derivation(keep, compat=True)(plain, t, 100.0, Margin()))))
    got = np.exp(answers(Zero(keep=keep, compat=True), frames))
    chosen = [clear(seen, keep) for seen in frames]
    np.testing.assert_allclose(got[chosen], expected[chosen], atol=1e-4)
    assert np.mean(chosen) > 0.5
    if classes > 2:
        hard = np.exp(answers(Zero(keep=keep), frames))
        assert (np.abs(hard - got).max(1) > 0.4).any(), "a vote that was split"


def clear(seen: Evidence, keep: float) -> bool:
    """The order of the views by entropy, which the grid does not make exact, is beyond float32's doubt."""
    h = np.sort(entropy(softmax(seen.logits().double().numpy())))
    return not ((np.diff(h) > 0) & (np.diff(h) < 2 * rounding_error(seen.text))).any()


def test_compat_votes_split_at_exact_ties():
    split = Zero(keep=1.0, compat=True).adapt(axes({1: 0.5, 3: 0.5}, {1: 0.6}), None)[0].exp()
    np.testing.assert_allclose(split, [0, 1.5, 0, 0.5, 0, 0], atol=1e-6)


def test_scaled_rounding_never_moves_a_vote():
    text = TextSpace.of(torch.eye(3))
    seen = Evidence(torch.tensor([[0.5, np.nextafter(np.float32(0.5), 1), 0.70]]), text)
    assert int(Zero(keep=1.0).adapt(seen, None)[0].argmax()) == 2
