"""The image tower learns to hit fixed text targets: small pictures first, then the size it will work at.

Run teach.py before it, text.py beside it, ship.py after it. It resumes from its last checkpoint in `--run`, and counts
views, not minutes, so it may be stopped and continued at any time. On Linux, glibc gives memory back after every step
and asks for it again, up to half of the time; these keep it:
GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Barrier

import torch
from curve import draw_curve
from data import WHERE, Pictures, load
from student import Student, follow, learn, measure, optimisers, set_rate, text_targets
from together import Together
from torch import Tensor
from tqdm import tqdm
from views import crop, normalise, service_crop, tint

SHARES = {"tiny_imagenet": 0.7, "cifar10": 0.3}  # of each batch
PLAIN = 0.15  # of the views of the last phase
SAMPLE = 3  # every third picture of the tune split is measured on the way
FEATURES = 256


@dataclass(frozen=True, slots=True)
class Phase:
    until: float  # share of all views
    side: int  # pixels
    smallest: float  # area of a crop; none: the service's own views


PHASES = (Phase(0.62, 32, 0.25), Phase(0.8, 48, 0.12), Phase(2.0, 64, 0.0))


@dataclass(slots=True)
class Progress:
    seen: int = 0  # views
    step: int = 0
    spent: float = 0.0  # core seconds
    running: float = 0.0  # mean of the loss over about 50 steps, not yet corrected for its start at 0
    log: list[dict[str, float]] = field(default_factory=list)


class Order:
    """Rows of one set in random order, all of them before any returns."""

    def __init__(self, pictures: Pictures, draw: torch.Generator) -> None:
        self.pictures, self.draw, self.left = pictures, draw, torch.empty(0, dtype=torch.long)

    def take(self, count: int) -> Tensor:
        while len(self.left) < count:
            self.left = torch.cat([self.left, torch.randperm(len(self.pictures.labels), generator=self.draw)])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def batch(orders: dict[str, Order], size: int, phase: Phase, draw: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Views [b, 3, s, s] ready for the tower, set after set, and the labels of each set."""
    views, labels = [], {}
    for name, order in orders.items():
        rows = order.pictures.rows(order.take(round(SHARES[name] * size)))
        labels[name] = rows.labels
        if phase.smallest:
            views.append(crop(rows.pixels, phase.side, phase.smallest, draw))
        else:
            views.append(service_crop(rows.pixels, phase.side, PLAIN, draw))
    return normalise(tint(torch.cat(views), draw)), labels


def options() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help=WHERE)
    ask.add_argument("--run", type=Path, required=True, help="folder with targets.pt (teach.py); checkpoints go here")
    ask.add_argument("--text", type=Path, help="text.pt (text.py): aim at the text tower's own places of the names")
    ask.add_argument("--device", default="cpu")
    ask.add_argument("--pictures", type=int, default=1_250_000, help="how many training views, all phases together")
    ask.add_argument("--stop", type=int, default=10**9, help="stop after so many, as if interrupted")
    ask.add_argument("--batch", type=int, default=256)
    ask.add_argument("--lr", type=float, default=4e-3)
    ask.add_argument("--adam", action="store_true", help="AdamW instead of Muon for the matrices")
    ask.add_argument("--towards", type=float, default=1.0, help="weight of the cosine to the right target")
    ask.add_argument("--workers", type=int, default=2, help="processes that train together")
    ask.add_argument("--threads", type=int, default=1, help="of each worker")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--every", type=int, default=40_000, help="views between two checkpoints")
    return ask.parse_args()


def resume(path: Path, student: Student, mean: Student, steps: list[torch.optim.Optimizer]) -> Progress:
    """Fill them from the checkpoint, if there is one."""
    if not path.exists():
        return Progress()
    old = torch.load(path, weights_only=False)
    student.load_state_dict(old["student"])
    mean.load_state_dict(old["mean"])
    for optimiser, state in zip(steps, old["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    return Progress(**{name: old[name] for name in Progress.__slots__})


def save(path: Path, student: Student, mean: Student, steps: list[torch.optim.Optimizer], done: Progress) -> None:
    """In one move, so that an interruption leaves the old checkpoint or the new one."""
    state = {"student": student.state_dict(), "mean": mean.state_dict(), "optimisers": [o.state_dict() for o in steps]}
    torch.save(state | asdict(done), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    draw_curve(done.log, path.with_name("curve.png"))


def work(rank: int, args: argparse.Namespace, board: Tensor, barrier: Barrier) -> None:
    """One of `--workers` processes; the first also measures, reports and keeps."""
    together = Together(rank, args.workers, board, barrier)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    targets = text_targets(args.run, args.text, list(SHARES), args.device)
    sets = {name: load(args.data, name, "train", args.run / "cache") for name in SHARES}
    tune = {name: load(args.data, name, "tune", args.run / "cache") for name in SHARES}
    tune = {name: held.rows(torch.arange(0, len(held.labels), SAMPLE)) for name, held in tune.items()}
    student = Student(targets["cifar10"].shape[1]).to(args.device, memory_format=torch.channels_last)
    mean = copy.deepcopy(student).requires_grad_(False)
    steps = optimisers(student, args.lr, args.adam, together)
    done = resume(args.run / "image.pt", student, mean, steps)
    draw = torch.Generator().manual_seed(args.seed + done.seen + rank)
    orders = {name: Order(pictures, draw) for name, pictures in sets.items()}
    epoch = sum(len(pictures.labels) for pictures in sets.values())
    last, saved, began = min(args.pictures, args.stop), done.seen, time.process_time()
    bar = tqdm(total=args.pictures, initial=done.seen, unit="view", mininterval=20, disable=rank > 0)
    while done.seen < last:
        phase = next(p for p in PHASES if done.seen / args.pictures < p.until)
        set_rate(steps, args.lr, done.seen / args.pictures)
        views, labels = batch(orders, args.batch // args.workers, phase, draw)
        labels = {name: right.to(args.device) for name, right in labels.items()}
        student.train()
        loss = learn(student, views.to(args.device), labels, targets, args.towards)
        loss.backward()
        together.mean([p.grad for p in student.parameters() if p.grad is not None])
        for optimiser in steps:
            optimiser.step()
            optimiser.zero_grad()
        done.seen, done.step = done.seen + len(views) * args.workers, done.step + 1
        if rank > 0:
            continue
        follow(mean, student, done.step)
        done.running = 0.98 * done.running + 0.02 * loss.item()
        bar.update(len(views) * args.workers)
        if done.seen - saved < args.every and done.seen < last:
            continue
        used = (time.process_time() - began) * args.workers
        done.spent += used
        line = {"seen": done.seen, "side": phase.side, "loss": round(done.running / (1 - 0.98**done.step), 3)}
        line |= {"core_minutes": round(done.spent / 60, 1)}
        line |= {"epoch_core_seconds": round(used * epoch / (done.seen - saved))}
        done.log.append(line | measure(mean, tune, targets, phase.side))
        print(json.dumps(done.log[-1]), flush=True)
        save(args.run / "image.pt", student, mean, steps, done)
        saved, began = done.seen, time.process_time()


def main() -> None:
    args = options()
    if args.device != "cpu" and args.workers > 1:
        raise SystemExit("several workers share the cores of a CPU; elsewhere use --workers 1")
    processes = multiprocessing.get_context("spawn")
    length = sum(p.numel() for p in Student(FEATURES).parameters())
    board, barrier = torch.zeros(args.workers, length).share_memory_(), processes.Barrier(args.workers)
    others = [
        processes.Process(target=work, args=(r, args, board, barrier), daemon=True) for r in range(1, args.workers)
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the others end with the first
    for other in others:
        other.start()
    work(0, args, board, barrier)
    for other in others:
        other.join()


if __name__ == "__main__":
    main()
