from __future__ import annotations

import torch

from tta_service.clip.image.tower import recompute


def product(x, y):
    return (x * torch.sigmoid(1.7 * x)) @ y.sin()


def test_values_and_gradients_are_those_of_the_plain_run():
    x, y, weight = torch.randn(3, 4), torch.randn(4, 2), torch.randn(3, 2)
    inputs = [value.clone().requires_grad_() for value in (x, y)]
    plain = [value.clone().requires_grad_() for value in (x, y)]
    ours, reference = recompute(product, *inputs), product(*plain)
    assert torch.equal(ours, reference)
    expected = torch.autograd.grad(reference, plain, weight)
    for _ in range(2):  # from the same graph
        for a, b in zip(torch.autograd.grad(ours, inputs, weight, retain_graph=True), expected, strict=True):
            assert torch.equal(a, b)


def test_only_the_inputs_are_stored():
    stored: list[torch.Tensor] = []

    def record(saved):
        stored.append(saved)
        return saved

    x, y = torch.randn(3, 4, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(record, lambda saved: saved):
        recompute(product, x, y)
    assert [value.shape for value in stored] == [x.shape, y.shape]


def test_without_gradients_it_is_the_plain_run():
    x, y = torch.randn(3, 4), torch.randn(4, 2)
    assert recompute(product, x, y).grad_fn is None
    with torch.no_grad():
        assert recompute(product, x.requires_grad_(), y).grad_fn is None
