"""The batches of the image tower: whole epochs, certain answers, mixtures whose answers sum to one."""

from __future__ import annotations

import pytest
import torch
from batches import Batch, Order, draw_batch, mix
from data import tune_rows
from schedule import FIRST, LARGE, phase_at

from .made import pictures


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def orders(draw: torch.Generator) -> dict[str, Order]:
    return {"tiny_imagenet": Order(pictures(30, 64, 5), draw), "cifar10": Order(pictures(20, 32, 4), draw)}


def test_every_picture_comes_once_before_any_returns(draw):
    order = Order(pictures(10, 8, 2), draw)
    taken = torch.cat([order.take(4) for _ in range(5)])
    assert sorted(taken[:10].tolist()) == sorted(taken[10:].tolist()) == list(range(10))


@pytest.mark.parametrize("phase", [FIRST[0], LARGE[0]])
def test_a_batch_has_the_shares_of_the_sets_and_certain_answers(orders, draw, phase):
    batch = draw_batch(orders, 20, phase, draw)
    assert batch.views.shape == batch.plain.shape == (20, 3, phase.side, phase.side)
    assert {name: tuple(y.shape) for name, y in batch.answers.items()} == {"tiny_imagenet": (14, 5), "cifar10": (6, 4)}
    assert all((y.max(1).values == 1).all() and (y.sum(1) == 1).all() for y in batch.answers.values())


def test_a_mixture_weighs_views_and_answers_alike(draw):
    answers = {"one": torch.eye(4), "other": torch.eye(6)}
    flat = torch.cat([torch.eye(4, 6), 10 + torch.eye(6)])  # a view of each class that tells its class
    batch = Batch(flat[:, :, None, None].contiguous(), flat[:, :, None, None], answers)
    mixture = mix(batch, 1.0, draw)
    views = mixture.views.flatten(1)
    torch.testing.assert_close(views[:4, :4], mixture.answers["one"])
    torch.testing.assert_close(views[4:] - 10, mixture.answers["other"])  # never across the sets
    assert not torch.equal(mixture.answers["other"], answers["other"])


def test_the_tune_split_is_the_last_pictures_of_each_class():
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    assert tune_rows(labels, 2).tolist() == [False, False, True, True, True, True]


def test_phases_follow_each_other_to_the_end():
    assert [phase_at(FIRST, share).side for share in (0.0, 0.61, 0.63, 0.81, 1.0)] == [32, 32, 48, 64, 64]
