"""The guard's rules, against a derivation in float64, and as limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.guard import add_guard, count_answer, count_lessons, is_doubtful, plain_answer
from tta_service.maths import unit

TEXT = TextSpace.of(torch.eye(4))


def logits(label: int, sure: float = 3.0) -> torch.Tensor:
    return sure * torch.nn.functional.one_hot(torch.tensor(label), 4).float()


def fresh():
    return add_guard(None, TEXT).guard


def after(pairs):
    """A guard that has seen these labels of plain CLIP and the memory."""
    guard = fresh()
    for plain, adapted in pairs:
        guard = count_answer(guard, logits(plain), logits(adapted))
    return guard


def test_follows_the_formula():
    draw = np.random.default_rng(0)
    guard, counts, acted = fresh(), np.zeros((2, 4)), []
    for t in range(900):
        favourite = t // 300  # the memory prefers class 0 at first, then nothing, then plain CLIP prefers class 1
        plain = draw.normal(size=4) + (3.0 * np.eye(4)[1] if favourite == 2 else 0)
        adapted = plain + 0.8 * draw.normal(size=4) + (2.0 * np.eye(4)[0] if favourite == 0 else 0)
        label, other = plain.argmax(), adapted.argmax()
        wider = 0.0
        if counts[0].sum() >= 100:
            spread = []
            for row in counts:
                share = row[row > 0] / row.sum()
                spread.append(-(share * np.log(share)).sum())
            wider = spread[1] - spread[0]
        p = np.exp(plain) / np.exp(plain).sum()
        expected = bool(label != other and (wider < -0.02 or (p[label] - p[other] > 0.2 and wider <= 0.05)))
        pair = torch.tensor(plain), torch.tensor(adapted)
        assert is_doubtful(guard, *pair) == expected, t
        acted.append(expected)
        guard = count_answer(guard, *pair)
        counts *= 1 - 1 / 256
        counts[[0, 1], [label, other]] += 1
    assert 0.1 < np.mean(acted) < 0.9


def test_a_memory_that_answers_fewer_classes_is_not_believed_until_it_answers_as_many():
    collapsed = after([(i % 4, 0) for i in range(200)])
    assert is_doubtful(collapsed, logits(1, 0.1), logits(0)) and not is_doubtful(fresh(), logits(1, 0.1), logits(0))
    recovered = collapsed
    for i in range(1500):
        recovered = count_answer(recovered, logits(i % 4), logits((i + 1) % 4))
    assert not is_doubtful(recovered, logits(1, 0.1), logits(0))


def test_a_plain_answer_far_ahead_stands_unless_plain_answers_have_collapsed():
    assert is_doubtful(fresh(), logits(1), logits(0)) and not is_doubtful(fresh(), logits(1, 0.1), logits(0))
    spreading = after([(1, i % 4) for i in range(200)])
    assert not is_doubtful(spreading, logits(1), logits(0))


def test_an_answer_that_agrees_and_a_memory_with_lessons_are_left_alone():
    collapsed = after([(i % 4, 0) for i in range(200)])
    assert not is_doubtful(collapsed, logits(0), logits(0, 9.0))
    assert not is_doubtful(count_lessons(collapsed, 1), logits(1), logits(0))


def test_labels_count_whatever_the_scale_of_the_scores():
    """A strategy that is surer answers the same classes: nothing speaks against it."""
    guard = fresh()
    for i in range(300):
        guard = count_answer(guard, logits(i % 4, 0.1), logits(i % 4, 100.0))
    assert not is_doubtful(guard, logits(1, 0.1), logits(0, 100.0))


def test_the_plain_answer_is_that_of_the_views_which_the_strategy_trusts():
    seen = Evidence(
        unit(torch.randn(8, 4, generator=torch.Generator().manual_seed(0))), TextSpace.of(torch.eye(4), 5.0)
    )
    alone = Evidence(seen.views[:1], seen.text)
    torch.testing.assert_close(plain_answer(alone, 0.1), alone.logits()[0])
    probability = seen.logits().double().softmax(-1)
    surest = (-(probability * probability.log()).sum(-1)).argsort()[:2]
    torch.testing.assert_close(
        plain_answer(seen, 0.25).double(), probability[surest].mean(0).log(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("frames", [0, 99])
def test_few_frames_compare_nothing(frames):
    guard = after([(i % 4, 0) for i in range(frames)])
    assert not is_doubtful(guard, logits(1, 0.1), logits(0, 0.1))
