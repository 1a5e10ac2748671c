"""The image tower as a learner: its loss against text targets, its optimisers, the running mean of its weights."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from data import Pictures
from muon import Muon
from together import Together
from torch import Tensor, nn
from torch.nn import functional as F
from views import normalise, service_crop, whole

from tta_service.clip.pocket.tower import vit_pocket_64

SMOOTHING, EMA = 0.1, 0.998
STEEPEST = 50  # of the logits: beyond, label smoothing fights the temperature


class Student(nn.Module):
    """The tower and the temperature of its logits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.tower = vit_pocket_64(sizes=True, num_classes=features)
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0)))

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=STEEPEST)

    def forward(self, pixels: Tensor) -> Tensor:
        """[b, 3, s, s] to unit features [b, d]."""
        return F.normalize(self.tower(pixels).float(), dim=-1)


def text_targets(run: Path, text: Path | None, names: list[str], device: str) -> dict[str, Tensor]:
    """Where each class of each set lies [c, d]: by the teacher, or, given a text tower, where that puts its name."""
    taught = torch.load(run / "targets.pt")
    places = torch.load(text)["classes"] if text else {name: taught[name]["targets"] for name in names}
    return {name: places[name].to(device) for name in names}


def learn(
    student: Student, views: Tensor, answers: dict[str, Tensor], targets: dict[str, Tensor], towards: float
) -> Tensor:
    """Cross-entropy of each set against its own names, and a pull towards the very places of the right ones.

    The rows of `views` [b, 3, s, s] are those of the sets in the order of `answers`, probabilities [n, c] of each.
    """
    with torch.autocast(views.device.type, torch.bfloat16):
        features = student(views)
    loss = features.new_zeros(())
    for part, (name, right) in zip(features.split([len(y) for y in answers.values()]), answers.items(), strict=True):
        cosines = part @ targets[name].T
        away = (1 - (cosines * right).sum(1)).sum()
        loss = loss + F.cross_entropy(student.scale * cosines, right, label_smoothing=SMOOTHING, reduction="sum")
        loss = loss + towards * away
    return loss / len(features)


@torch.no_grad()
def self_distil(
    mean: Student, plain: Tensor, answers: dict[str, Tensor], targets: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """The answers [n, c] of each set, `share` of them those of the running mean to the plain pictures [b, 3, s, s].

    Self-distillation (mean teacher: Tarvainen and Valpola, arXiv:1703.01780): a crop is to get the answer
    of the whole picture.
    """
    mean.eval()
    with torch.autocast(plain.device.type, torch.bfloat16):
        features = mean(plain)
    parts = features.split([len(y) for y in answers.values()])
    predicted = {
        name: (mean.scale * part @ targets[name].T).softmax(1) for name, part in zip(answers, parts, strict=True)
    }
    return {name: right.lerp(predicted[name], share) for name, right in answers.items()}


def optimisers(student: Student, lr: float, adam: bool, together: Together) -> list[torch.optim.Optimizer]:
    """Muon (or AdamW) for the matrices, AdamW without decay for everything else."""
    named = dict(student.named_parameters())
    matrix = {n for n, p in named.items() if p.ndim > 1 and "pos_embed" not in n and "cls_token" not in n}
    matrices, others = [named[n] for n in named if n in matrix], [p for n, p in named.items() if n not in matrix]
    rest = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0)
    if adam:
        return [torch.optim.AdamW(matrices, lr=lr, betas=(0.9, 0.98), weight_decay=0.05), rest]
    return [Muon(matrices, lr, weight_decay=0.1, together=together), rest]


def follow(mean: Student, student: Student, step: int) -> None:
    """Move the running mean of the weights, quickly at first."""
    keep = min(EMA, (step + 1) / (step + 20))
    for kept, new in zip(mean.state_dict().values(), student.state_dict().values(), strict=True):
        kept.lerp_(new, 1 - keep) if kept.is_floating_point() else kept.copy_(new)


@torch.no_grad()
def measure(student: Student, sets: dict[str, Pictures], targets: dict[str, Tensor], side: int) -> dict[str, float]:
    """Top-1 in percent of plain pictures, and of one of the service's crops of each."""
    student.eval()
    right, draw = {}, torch.Generator().manual_seed(0)
    for name, pictures in sets.items():
        aims, hits = targets[name], torch.zeros(2)
        for rows in torch.arange(len(pictures.labels)).split(250):
            pixels = pictures.pixels[rows]
            for kind, views in enumerate((whole(pixels, side), service_crop(pixels, side, 0.0, draw))):
                with torch.autocast(aims.device.type, torch.bfloat16):
                    features = student(normalise(views.to(aims.device)))
                hits[kind] += ((features @ aims.T).argmax(1).cpu() == pictures.labels[rows]).sum()
        plain, crop = (100 * hits / len(pictures.labels)).tolist()
        right |= {name: round(plain, 2), f"{name}_crop": round(crop, 2)}
    return right
