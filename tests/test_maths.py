from __future__ import annotations

import math

import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.maths import (
    adam,
    confident_count,
    confident_rows,
    entropy,
    inverse,
    lead_is_settled,
    lower_factor,
    marginal_entropy,
    mean_log_probability,
    pseudo_inverse,
    pull_back,
    round_sizes,
    shared_weight,
    summarise,
    unit,
)


def test_entropy_in_nats_from_certain_to_uniform():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [500.0, 0.0, 0.0, 0.0], [0.0, 0.0, -math.inf, -math.inf]])
    torch.testing.assert_close(entropy(logits), torch.tensor([math.log(4), 0.0, math.log(2)]))
    assert not torch.signbit(entropy(torch.randn(2000, 3) * 100)).any(), "never −0 and never negative"
    assert entropy(torch.tensor([7.0])) == 0


def test_a_gradient_is_pulled_back_as_autograd_does():
    first, second, gradient = torch.randn(4, 3).requires_grad_(), torch.randn(3, 5).requires_grad_(), torch.randn(4, 5)
    outputs = (first @ second).tanh()
    expected = torch.autograd.grad(outputs, [first, second], gradient, retain_graph=True)
    for keep_graph in (True, False):
        for pulled, other in zip(
            pull_back(outputs, [first, second], gradient, keep_graph=keep_graph), expected, strict=True
        ):
            assert torch.equal(pulled, other)


def test_entropy_survives_probabilities_that_underflow():
    assert entropy(torch.tensor([0.0, -200.0, -1e4])) == 0


@pytest.mark.parametrize(
    "views, fraction, kept", [(64, 0.1, 6), (64, 0.3, 19), (1, 0.1, 1), (5, 0.1, 1), (100, 0.29, 28), (3, 1.0, 3)]
)
def test_a_fraction_is_truncated_and_keeps_one(views, fraction, kept):
    assert confident_count(views, fraction) == kept


def test_the_surest_rows_come_first_and_ties_keep_their_order():
    text = TextSpace.of(torch.eye(3))
    sure, doubtful = [0.9, 0.3, 0.3], [0.6, 0.59, 0.54]
    seen = Evidence(unit(torch.tensor([doubtful, sure, doubtful, sure])), text)
    assert confident_rows(seen, 1.0).tolist() == [1, 3, 0, 2]
    assert confident_rows(seen, 0.5).tolist() == [1, 3] == confident_rows(seen, 0.5, seen.logits()).tolist()
    assert confident_rows(Evidence(seen.views, text, torch.tensor([2])), 0.5).tolist() == [2]


def test_means_are_of_probabilities():
    logits = torch.tensor([[0.0, 100.0], [0.0, -100.0]])
    torch.testing.assert_close(mean_log_probability(logits), torch.full((2,), -math.log(2)))
    torch.testing.assert_close(marginal_entropy(logits), torch.tensor(math.log(2)))
    assert marginal_entropy(torch.tensor([[0.0, -300.0]])) == 0


def test_marginal_entropy_is_smooth():
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(marginal_entropy, (logits,))


def test_unit_leaves_a_zero_row():
    assert unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6000000238418579, 0.800000011920929], [0, 0]]


def test_a_summary_is_the_mean_of_the_sure_rows():
    text = TextSpace.of(torch.eye(2, 3))
    seen = Evidence(unit(torch.tensor([[1.0, 0.99, 0.0], [1.0, 0.0, 0.2], [1.0, 0.1, 0.0]])), text)
    image = summarise(seen, 0.7)
    assert image.rows.tolist() == [2, 1] or image.rows.tolist() == [1, 2]
    torch.testing.assert_close(image.feature, seen.views[1:].mean(0))
    torch.testing.assert_close(image.logits, seen.logits()[1:].mean(0))
    assert image.label == 0 and float(image.entropy) == pytest.approx(0, abs=1e-6)
    assert shared_weight(3, image.rows).tolist() == [0, 0.5, 0.5]


def spectrum(*values: float) -> torch.Tensor:
    """A symmetric matrix in float64 with these eigenvalues."""
    turn = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64))[0]
    return turn @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ turn.T


def test_the_inverse_of_a_positive_definite_matrix():
    matrix = spectrum(4.0, 1.0, 0.5, 0.01)
    torch.testing.assert_close(inverse(matrix), torch.linalg.inv(matrix).float(), rtol=1e-4, atol=1e-4)


def test_a_singular_matrix_gets_a_millionth_and_an_indefinite_one_is_refused():
    assert lower_factor(spectrum(1.0, 1.0, 0.0, -1e-8)) is not None
    assert inverse(spectrum(1.0, -1.0, 2.0)) is None
    assert lower_factor(torch.full((3, 3), torch.nan)) is None


@pytest.mark.parametrize("least", [1e-1, 1e-3, 1e-5, 3e-7])
def test_the_pseudo_inverse_is_the_full_one_where_there_is_one(least):
    """Between the certain cases and the cut (here at 1e-6 of the largest) the eigenvalues decide."""
    matrix = spectrum(2.0, 1.5, 1.0, 1.0, 0.7, 0.5, 0.3, least)
    expected = torch.linalg.pinv(matrix, rtol=8 * 1.1920929e-07, hermitian=True)
    torch.testing.assert_close(pseudo_inverse(matrix).double(), expected, rtol=0, atol=5e-3 / least)
    assert (torch.linalg.matrix_norm(pseudo_inverse(matrix), 2) < 5) == (least < 1e-6)


def test_directions_without_variance_are_dropped():
    matrix = spectrum(3.0, 1.0, 0.5, 0.0, 0.0, 0.0)
    expected = torch.linalg.pinv(matrix, rtol=1e-6, hermitian=True).float()
    torch.testing.assert_close(pseudo_inverse(matrix), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_is_torchs(decay):
    ours, theirs = torch.randn(3, 4), torch.nn.Parameter(torch.empty(3, 4))
    theirs.data.copy_(ours)
    optimiser = torch.optim.AdamW([theirs], lr=5e-3, weight_decay=decay)
    moments = torch.zeros(3, 4), torch.zeros(3, 4)
    for step in range(1, 6):
        gradient = torch.randn(3, 4) * 10.0 ** (step - 4)
        theirs.grad = gradient.clone()
        optimiser.step()
        adam(ours, gradient, *moments, step, 5e-3, decay)
    torch.testing.assert_close(ours, theirs.data, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("views", "agreement", "sizes"),
    [(64, 1.0, ()), (64, 0.9, (8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60)), (10, 0.9, (8,)), (8, 0.9, ())],
)
def test_rounds_are_for_less_than_full_agreement(views, agreement, sizes):
    assert round_sizes(views, agreement) == sizes
    assert len(round_sizes(512, agreement)) <= 14


def votes(*counts: int) -> torch.Tensor:
    return torch.eye(len(counts)).repeat_interleave(torch.tensor(counts), 0)


def test_a_lead_is_settled_by_all_rows_or_by_enough_that_agree():
    two_against_one = torch.tensor([2.0, 1.0, 0.0])
    assert lead_is_settled(votes(2, 1, 0), two_against_one, 3, 0.0), "these are all"
    assert not lead_is_settled(votes(2, 1, 0), two_against_one, 19, 0.01)
    assert not lead_is_settled(votes(18, 0, 0), two_against_one, 19, 0.0), "no doubt is allowed"
    assert [lead_is_settled(votes(n, 0, 0), two_against_one, 19, 0.01) for n in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert not lead_is_settled(votes(4, 4, 0), two_against_one, 19, 0.4), "a tie is no lead"
    assert lead_is_settled(torch.ones(1, 1), torch.ones(1), 19, 0.01), "one class always leads"


@pytest.mark.parametrize("doubt", [0.02, 0.1])
def test_settled_leads_are_lost_as_seldom_as_allowed(doubt):
    """Votes of 20 views without replacement, of images from certain to torn between two classes."""
    draw = torch.Generator().manual_seed(0)
    lost = settled = 0
    for _ in range(1000):
        chance = torch.rand((), generator=draw) * 0.8 + 0.1
        second = (torch.rand(20, generator=draw) > chance).long()
        rows = torch.nn.functional.one_hot(second, 2).float()
        if lead_is_settled(rows[:8], rows[:8].sum(0), 20, doubt):
            settled += 1
            lost += int(rows.sum(0).argmax() != rows[:8].sum(0).argmax())
    assert settled > 250
    assert lost <= doubt * settled
