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
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier

import torch
from batches import SHARES, Order, draw_batch, mix
from checkpoint import begin, resume, save
from data import WHERE, load
from schedule import CYCLES, phase_at, set_rate
from student import Student, follow, learn, measure, optimisers, self_distil, text_targets
from together import Together
from torch import Tensor
from tqdm import tqdm

SAMPLE = 3  # every third picture of the tune split is measured on the way
FEATURES = 256


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True, help=WHERE)
    ask.add_argument("--run", type=Path, required=True, help="folder with targets.pt (teach.py); checkpoints go here")
    ask.add_argument("--text", type=Path, help="text.pt (text.py): aim at the text tower's own places of the names")
    ask.add_argument("--again", type=Path, help="an image.pt whose mean weights begin a new cycle of the rate")
    ask.add_argument("--cycle", choices=CYCLES, default="first", help="which phases of picture sizes (schedule.py)")
    ask.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    ask.add_argument("--pictures", type=int, default=1_250_000, help="how many training views, all phases together")
    ask.add_argument("--stop", type=int, default=10**9, help="stop after so many, as if interrupted")
    ask.add_argument("--batch", type=int, default=256)
    ask.add_argument("--lr", type=float, default=4e-3)
    ask.add_argument("--adam", action="store_true", help="AdamW instead of Muon for the matrices")
    other = ask.add_mutually_exclusive_group()
    other.add_argument("--mixup", type=float, default=0.0, help="alpha of mixup's weights; 0: none")
    other.add_argument(
        "--self-taught", type=float, default=0.0, help="share of the mean tower's answer in a crop's aim"
    )
    ask.add_argument("--towards", type=float, default=1.0, help="weight of the cosine to the right target")
    ask.add_argument("--workers", type=int, help="processes that train together: 2 on a CPU, elsewhere 1")
    ask.add_argument("--threads", type=int, default=1, help="of each worker")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--every", type=int, default=40_000, help="views between two checkpoints")
    given = ask.parse_args(arguments)
    given.workers = given.workers or (2 if given.device == "cpu" else 1)
    if given.device != "cpu" and given.workers > 1:
        ask.error("several workers share the cores of a CPU; elsewhere use --workers 1")
    if not (given.run / "targets.pt").is_file():
        ask.error(f"--run: {given.run} holds no targets.pt; run teach.py --out {given.run} first")
    return given


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
    kept = args.run / "image.pt"
    done = resume(kept, student, mean, steps) if kept.exists() else begin(args.again, student, mean)
    draw = torch.Generator().manual_seed(args.seed + done.seen + rank)
    orders = {name: Order(pictures, draw) for name, pictures in sets.items()}
    epoch = sum(len(pictures.labels) for pictures in sets.values())
    last, saved, began, clock = min(args.pictures, args.stop), done.seen, time.process_time(), time.perf_counter()
    bar = tqdm(total=args.pictures, initial=done.seen, unit="view", mininterval=20, disable=rank > 0)
    while done.seen < last:
        share = done.seen / args.pictures
        phase = phase_at(CYCLES[args.cycle], share)
        set_rate(steps, args.lr, share)
        shown = draw_batch(orders, args.batch // args.workers, phase, draw)
        if args.mixup:
            shown = mix(shown, args.mixup, draw)
        answers = {name: right.to(args.device) for name, right in shown.answers.items()}
        if args.self_taught:
            answers = self_distil(mean, shown.plain.to(args.device), answers, targets, args.self_taught)
        student.train()
        loss = learn(student, shown.views.to(args.device), answers, targets, args.towards)
        loss.backward()
        together.mean([p.grad for p in student.parameters() if p.grad is not None])
        for optimiser in steps:
            optimiser.step()
            optimiser.zero_grad()
        done.seen, done.step = done.seen + len(shown.views) * args.workers, done.step + 1
        follow(mean, student, done.step)
        if rank > 0:
            continue
        done.running = 0.98 * done.running + 0.02 * loss.item()
        bar.update(len(shown.views) * args.workers)
        if done.seen - saved < args.every and done.seen < last:
            continue
        used = (time.process_time() - began) * args.workers
        waited = time.perf_counter() - clock  # what counts on a GPU
        done.spent += used
        line = {"seen": done.before + done.seen, "side": phase.side}
        line |= {"loss": round(done.running / (1 - 0.98**done.step), 3), "core_minutes": round(done.spent / 60, 1)}
        line |= {"epoch_core_seconds": round(used * epoch / (done.seen - saved))}
        line |= {"epoch_seconds": round(waited * epoch / (done.seen - saved))}
        done.log.append(line | measure(mean, tune, targets, phase.side))
        print(json.dumps(done.log[-1]), flush=True)
        save(kept, student, mean, steps, done)
        saved, began, clock = done.seen, time.process_time(), time.perf_counter()


def main() -> None:
    args = options()
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
