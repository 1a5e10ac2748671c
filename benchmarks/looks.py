"""Two looks, and a plain view left whole: what they cost and keep, beside exact and reduced views.

    python benchmarks/looks.py --data FOLDER [--pictures 200] [--only accuracy|cost]

The pocket model on held-out pictures, 64 views: the answers of strategies that keep a tenth of the views, and of ZERO,
when all views are exact, all reduced, all but the plain one, or all reduced and then row 0 and the confident ones
encoded again. Cost: CPU seconds of one thread from pixels to features, all views exact being 1; for ViT-B-16 with
random weights too, where accuracy means nothing. Writes benchmarks/results/looks.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from machine import load_average, processor
from pocket.data import load as pictures_of

from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.images.views import look
from tta_service.maths import confident_count
from tta_service.reducers import catalogue as reducers
from tta_service.serving.pipeline.adaptation import EncodedViews, choose_confident
from tta_service.strategies import catalogue as strategies

VIEWS = 64
STRATEGIES = ("mean", "tpt", "zero")
WAYS = ("exact", "reduced", "augmented", "two looks")
SETS = (("tiny_imagenet", "val"), ("cifar10", "test"))
RESULTS = Path(__file__).resolve().parent / "results" / "looks.json"
HEAD = """# Two looks, and a plain view left whole

`python benchmarks/looks.py`: {views} views, `{reducer}` at keep {keep}; torch {torch}, one thread of {cpu}, load
average {load}.
Reduced: all views. Augmented: all but the plain one. Two looks: all reduced, then the plain view and those that the
strategy keeps once more, exactly. Strategies that read every view are refused two looks.
"""
ACCURACY = """
## The pocket model, {folder}, {pictures} held-out pictures, top-1 %

In brackets: the same answer as from exact views, % of the pictures. ± is the standard error of the difference to exact.

| strategy | keeps | exact | reduced | augmented | two looks |
|---|---|---|---|---|---|
"""
COST = """
## Cost of the views, exact = 1

| model | strategy | keeps | reduced | augmented | two looks | arithmetic: reduced + kept |
|---|---|---|---|---|---|---|
"""


def main() -> int:
    args = _arguments()
    torch.set_num_threads(1)
    pocket, reduction = load(device="cpu"), Reduction(reducers.build("tome", {"keep": args.keep}))
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    report |= {"reducer": "tome", "keep": args.keep, "views": VIEWS, "torch": torch.__version__}
    report |= {"cpu": processor(), "load": load_average()}
    if args.data and args.only in ("", "accuracy"):
        report["accuracy"] = {s[0]: accuracies(pocket, reduction, args.data, *s, args.pictures) for s in SETS}
    if args.only in ("", "cost"):
        named = FrozenCLIP(open_clip.create_model("ViT-B-16"), open_clip.get_tokenizer("ViT-B-16"), name="ViT-B-16")
        report["cost"] = {"pocket": costs(pocket, reduction, 7), "ViT-B-16": costs(named, reduction, 1)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(report))
    print(table(report))
    return 0


def accuracies(clip: FrozenCLIP, reduction: Reduction, data: Path, folder: str, part: str, count: int) -> Any:
    """By strategy and way: who was right [n] 0/1, and what was answered [n]."""
    pictures = pictures_of(data, folder, part)
    some = torch.randperm(len(pictures.labels), generator=torch.Generator().manual_seed(1))[:count]
    text = clip.text_space(LabelSet(tuple(pictures.names)))
    answers: dict[str, dict[str, list[int]]] = {name: {way: [] for way in WAYS} for name in STRATEGIES}
    for place in some.tolist():
        views = look(pictures.pixels[place], clip.image_size, VIEWS, seed=place)
        exact, reduced = clip.encode_image(views.pixels), clip.encode_image(views.pixels, reduction)
        first = EncodedViews((reduced,), VIEWS, views)
        for name in STRATEGIES:
            strategy = strategies.build(name, {})
            kept, rows, _ = choose_confident(first, text, strategy.needs().confident, views.pixels)
            seen = {
                "exact": EncodedViews((exact,), VIEWS, views),
                "reduced": first,
                "augmented": EncodedViews((exact[:1], reduced[1:]), VIEWS, views),
                "two looks": replace(first, kept=kept, second_look=(rows, (exact[rows],))),
            }
            for way in WAYS:
                logits, _ = strategy.adapt(seen[way].evidence(text), None)
                answers[name][way].append(int(logits.argmax()))
    labels = pictures.labels[some].tolist()
    return {"pictures": count, "labels": labels, "answers": answers}


def costs(clip: FrozenCLIP, reduction: Reduction, rounds: int) -> dict[str, Any]:
    """By strategy and way, as a share of all views exact; by medians of CPU time."""
    pixels = torch.randn(VIEWS, 3, clip.image_size, clip.image_size)
    again = {name: 1 + confident_count(VIEWS, strategies.build(name, {}).needs().confident) for name in STRATEGIES}
    jobs = {"exact": (VIEWS, None), "reduced": (VIEWS, reduction), "rest": (VIEWS - 1, reduction), "plain": (1, None)}
    jobs |= {name: (rows, None) for name, rows in again.items()}  # at most: the plain view may be among the kept
    seconds: dict[str, list[float]] = {job: [] for job in jobs}
    for _ in range(rounds):
        for job, (rows, how) in jobs.items():
            start = time.process_time()
            clip.encode_image(pixels[:rows], how)
            seconds[job].append(time.process_time() - start)
    share = {job: sorted(some)[len(some) // 2] for job, some in seconds.items()}
    share = {job: some / share["exact"] for job, some in share.items()}
    both = {"reduced": share["reduced"], "augmented": share["plain"] + share["rest"]}
    return {
        name: both | {"two looks": share["reduced"] + share[name], "sum": share["reduced"] + rows / VIEWS}
        for name, rows in again.items()
    }


def table(report: dict[str, Any]) -> str:
    text = HEAD.format(
        **{key: report[key] for key in ("views", "reducer", "keep", "torch", "load")},
        cpu=report.get("cpu", "a processor not recorded"),
    )
    for folder, found in report.get("accuracy", {}).items():
        text += ACCURACY.format(folder=folder, pictures=found["pictures"])
        labels = torch.tensor(found["labels"])
        for name, given in found["answers"].items():
            exact = torch.tensor(given["exact"])
            cells = [f"{100 * float((exact == labels).double().mean()):.1f}"]
            for way in WAYS[1:]:
                top = torch.tensor(given[way])
                lost = (top == labels).double() - (exact == labels).double()
                same, doubt = float((top == exact).double().mean()), float(lost.std()) / len(lost) ** 0.5
                right = 100 * float((top == labels).double().mean())
                cells.append(f"{right:.1f} ± {100 * doubt:.1f} ({100 * same:.1f})")
            text += f"| `{name}` | {_keeps(name)} | {' | '.join(cells)} |\n"
    if "cost" in report:
        text += COST
        for model, by_name in report["cost"].items():
            for name, one in by_name.items():
                shares = " | ".join(f"{one[key]:.2f}" for key in ("reduced", "augmented", "two looks", "sum"))
                text += f"| {model} | `{name}` | {_keeps(name)} | {shares} |\n"
    return text


def _keeps(name: str) -> str:
    return f"{confident_count(VIEWS, strategies.build(name, {}).needs().confident)} of {VIEWS}"


def _arguments() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--pictures", type=int, default=200, help="of each set")
    ask.add_argument("--keep", type=float, default=0.5)
    ask.add_argument("--only", default="", help="accuracy or cost")
    return ask.parse_args()


if __name__ == "__main__":
    sys.exit(main())
