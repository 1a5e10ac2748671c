"""How the image tower learns: towards its answers, as several workers would alone, with orthogonal steps."""

from __future__ import annotations

import threading

import pytest
import torch
from muon import orthogonal
from student import Student, follow, learn, measure, optimisers, self_distil
from together import Together, alone
from torch.nn import functional as F

from tests.patience import PATIENCE

from .made import pictures


@pytest.fixture
def targets() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {"cifar10": F.normalize(torch.randn(4, 16, generator=draw), dim=1)}


def test_a_few_steps_on_one_batch_learn_it(targets):
    torch.manual_seed(0)
    student = Student(16)
    steps = optimisers(student, 3e-3, adam=False, together=alone())
    views, right = torch.randn(4, 3, 32, 32), {"cifar10": torch.eye(4)}
    losses = []
    for _ in range(6):
        loss = learn(student, views, right, targets, towards=1.0)
        loss.backward()
        for optimiser in steps:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_distilled_answers_lie_between_the_label_and_the_answer_of_the_mean(targets):
    torch.manual_seed(0)
    mean, plain, right = Student(16), torch.randn(4, 3, 32, 32), {"cifar10": torch.eye(4)}
    whole = self_distil(mean, plain, right, targets, 1.0)["cifar10"]
    half = self_distil(mean, plain, right, targets, 0.5)["cifar10"]
    torch.testing.assert_close(half, (whole + torch.eye(4)) / 2)
    torch.testing.assert_close(whole.sum(1), torch.ones(4))


def test_the_running_mean_moves_towards_the_weights():
    torch.manual_seed(0)
    mean, student = Student(8), Student(8)
    before = (mean.tower.head.weight - student.tower.head.weight).abs().mean()
    follow(mean, student, step=10_000)
    after = (mean.tower.head.weight - student.tower.head.weight).abs().mean()
    assert after.item() == pytest.approx(0.998 * before.item(), rel=1e-4)


def test_orthogonal_has_singular_values_about_one():
    draw = torch.Generator().manual_seed(0)
    for shape in ((2, 24, 60), (2, 60, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=draw)))
        assert values.min() > 0.5 and values.max() < 1.4


def test_workers_agree_on_the_mean_and_share_their_parts():
    board, barrier = torch.zeros(2, 12), threading.Barrier(2)
    whole = torch.arange(12.0).view(3, 2, 2)
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def work(rank: int) -> None:
        together = Together(rank, 2, board, barrier)
        mine, stack = torch.full((3,), float(rank)), torch.zeros(3, 2, 2)
        together.mean([mine])
        together.share([stack], [whole[rank::2]])
        seen[rank] = mine, stack

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    for mine, stack in (seen[0], seen[1]):
        assert mine.tolist() == [0.5] * 3
        assert torch.equal(stack, whole)


def test_measure_counts_plain_pictures_and_crops(targets):
    torch.manual_seed(0)
    accuracies = measure(Student(16), {"cifar10": pictures(40, 32, 4)}, targets, 32)
    assert set(accuracies) == {"cifar10", "cifar10_crop"} and all(0 <= value <= 100 for value in accuracies.values())
