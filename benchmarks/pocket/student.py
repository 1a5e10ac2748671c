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
from views import normalise, whole

from tta_service.clip.pocket.tower import vit_pocket_64

SMOOTHING, EMA, WARM = 0.1, 0.998, 0.02
STEEPEST = 50  # of the logits: beyond, label smoothing fights the temperature


class Student(nn.Module):
    """The tower and the temperature of its logits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.tower = vit_pocket_64(sizes=True, num_classes=features)
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0)))

    def forward(self, pixels: Tensor) -> Tensor:
        """[b, 3, s, s] to unit features [b, d]."""
        return F.normalize(self.tower(pixels).float(), dim=-1)


def text_targets(run: Path, text: Path | None, names: list[str], device: str) -> dict[str, Tensor]:
    """Where each class of each set lies [c, d]: by the teacher, or, given a text tower, where that puts its name."""
    taught = torch.load(run / "targets.pt")
    said = torch.load(text)["classes"] if text else {name: taught[name]["targets"] for name in names}
    return {name: said[name].to(device) for name in names}


def learn(
    student: Student, views: Tensor, labels: dict[str, Tensor], targets: dict[str, Tensor], towards: float
) -> Tensor:
    """Cross-entropy of each set against its own names, and a pull towards the very place of the right one.

    The rows of `views` [b, 3, s, s] are those of the sets in the order of `labels`.
    """
    with torch.autocast(views.device.type, torch.bfloat16):
        features = student(views)
    scale = student.log_scale.exp().clamp(max=STEEPEST)
    loss = features.new_zeros(())
    for part, (name, right) in zip(features.split([len(y) for y in labels.values()]), labels.items(), strict=True):
        cosines = part @ targets[name].T
        away = (1 - cosines[torch.arange(len(right)), right]).sum()
        loss = loss + F.cross_entropy(scale * cosines, right, label_smoothing=SMOOTHING, reduction="sum")
        loss = loss + towards * away
    return loss / len(features)


def optimisers(student: Student, lr: float, adam: bool, together: Together) -> list[torch.optim.Optimizer]:
    """Muon (or AdamW) for the matrices, AdamW without decay for everything else."""
    named = dict(student.named_parameters())
    matrix = {n for n, p in named.items() if p.ndim > 1 and "pos_embed" not in n and "cls_token" not in n}
    matrices, others = [named[n] for n in named if n in matrix], [p for n, p in named.items() if n not in matrix]
    rest = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0)
    if adam:
        return [torch.optim.AdamW(matrices, lr=lr, betas=(0.9, 0.98), weight_decay=0.05), rest]
    return [Muon(matrices, lr, weight_decay=0.1, together=together), rest]


def set_rate(steps: list[torch.optim.Optimizer], lr: float, share: float) -> None:
    """Warm-up, then straight down to almost nothing; `share` of the schedule is over."""
    for group in (group for optimiser in steps for group in optimiser.param_groups):
        group["lr"] = lr * min(share / WARM, (1 - share) / (1 - WARM) + 1e-3)


def follow(mean: Student, student: Student, step: int) -> None:
    """Move the running mean of the weights, quickly at first."""
    keep = min(EMA, (step + 1) / (step + 20))
    for kept, new in zip(mean.state_dict().values(), student.state_dict().values(), strict=True):
        kept.lerp_(new, 1 - keep) if kept.is_floating_point() else kept.copy_(new)


@torch.no_grad()
def measure(student: Student, sets: dict[str, Pictures], targets: dict[str, Tensor], side: int) -> dict[str, float]:
    """Top-1 in percent of plain pictures."""
    student.eval()
    right = {}
    for name, pictures in sets.items():
        aims, hits = targets[name], 0
        for rows in torch.arange(len(pictures.labels)).split(250):
            with torch.autocast(aims.device.type, torch.bfloat16):
                features = student(normalise(whole(pictures.pixels[rows], side).to(aims.device)))
            hits += int(((features @ aims.T).argmax(1).cpu() == pictures.labels[rows]).sum())
        right[name] = round(100 * hits / len(pictures.labels), 2)
    return right
