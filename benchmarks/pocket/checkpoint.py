"""What a training run keeps on disk, and how it goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from curve import draw_curve
from student import Student


@dataclass(slots=True)
class Progress:
    seen: int = 0  # views of this cycle
    before: int = 0  # views of the cycles before it
    step: int = 0
    spent: float = 0.0  # core seconds, all cycles
    running: float = 0.0  # mean of the loss over about 50 steps, not yet corrected for its start at 0
    log: list[dict[str, float]] = field(default_factory=list)


def begin(again: Path | None, student: Student, mean: Student) -> Progress:
    """A new cycle, from the mean weights at the end of an earlier one if its checkpoint is given."""
    if again is None:
        return Progress()
    old = torch.load(again, map_location="cpu", weights_only=False)
    student.load_state_dict(old["mean"])
    mean.load_state_dict(old["mean"])
    return Progress(before=old.get("before", 0) + old["seen"], spent=old["spent"], log=old["log"])


def resume(path: Path, student: Student, mean: Student, steps: Sequence[torch.optim.Optimizer]) -> Progress:
    """Fill them from the checkpoint of an interrupted cycle."""
    old = torch.load(path, map_location="cpu", weights_only=False)
    student.load_state_dict(old["student"])
    mean.load_state_dict(old["mean"])
    for optimiser, state in zip(steps, old["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    return Progress(**{name: old[name] for name in Progress.__slots__})


def save(path: Path, student: Student, mean: Student, steps: Sequence[torch.optim.Optimizer], done: Progress) -> None:
    """In one move, so that an interruption leaves the old checkpoint or the new one."""
    state = {"student": student.state_dict(), "mean": mean.state_dict(), "optimisers": [o.state_dict() for o in steps]}
    torch.save(state | asdict(done), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    draw_curve(done.log, path.with_name("curve.png"))
